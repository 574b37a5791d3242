"""Bounces that are none."""

import pytest

from smtproxy.policy.checks.null_sender import CHECK, NullSenderOptions, null_sender
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from smtproxy.wire.replies import Reply
from tests.policy.checks.evidence import seen
from tests.policy.facts import nothing


@pytest.mark.parametrize(
    ("sender", "recipients", "found"),
    [
        ("", ("a@example.org",), False),
        ("", ("a@example.org", "b@example.org"), True),
        ("", ("a@example.org", "b@example.org", "c@example.org"), True),
        ("", ("a@example.org", "a@example.org"), False),
        ("joe@example.com", ("a@example.org", "b@example.org"), False),
    ],
)
def test_a_bounce_has_one_recipient(sender: str, recipients: tuple[str, ...], found: bool) -> None:
    evidence = seen(Stage.RECIPIENT, sender=sender, recipients=recipients)
    finding = null_sender(NullSenderOptions(), evidence)
    assert (finding is not None and finding.reason is Reason.NULL_SENDER_RECIPIENTS) is found
    assert null_sender(NullSenderOptions(several_recipients=False), evidence) is None


def test_a_recipient_that_was_refused_does_not_count() -> None:
    evidence = seen(Stage.RECIPIENT, sender="", recipients=("a@example.org", "b@example.org"))
    assert evidence.dialogue.envelope is not None
    first = evidence.dialogue.envelope.recipients[0]
    first.reply, first.by = Reply(550, (b"no",)), "recipient_domain"
    assert null_sender(NullSenderOptions(), evidence) is None
    first.reply, first.by = Reply(250, (b"yes",)), "backend"
    assert null_sender(NullSenderOptions(), evidence) is not None


@pytest.mark.parametrize(
    ("recipient", "found"),
    [("info@example.org", True), ("INFO@Example.org", True), ("a@x.lists.example.org", True), ("a@example.org", False)],
)
def test_addresses_that_never_send(recipient: str, found: bool) -> None:
    options = NullSenderOptions(never_sends=("info@example.org", "*.lists.example.org"))
    finding = null_sender(options, seen(Stage.RECIPIENT, sender="", recipients=(recipient,)))
    assert (finding is not None and finding.reason is Reason.NULL_SENDER_NEVER_SENT) is found
    assert null_sender(options, seen(Stage.RECIPIENT, recipients=(recipient,))) is None


def test_without_a_recipient_there_is_nothing_to_find() -> None:
    assert null_sender(NullSenderOptions(), nothing(Stage.RECIPIENT)) is None
    assert null_sender(NullSenderOptions(), seen(Stage.RECIPIENT, sender="")) is None
    assert CHECK.needs == ()
