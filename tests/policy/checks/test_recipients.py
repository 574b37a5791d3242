"""Recipients that will not get this mail."""

from dataclasses import replace

import pytest

from smtproxy.policy.checks.recipients import CHECK, RecipientsOptions, recipients
from smtproxy.policy.evidence import Evidence, Fact, Known, Unknown
from smtproxy.policy.facts import RECIPIENT, RecipientEntry
from smtproxy.policy.findings import CannotTell, Finding, OnError, Outcome
from smtproxy.policy.judge import Check, Policy
from smtproxy.policy.replies import Reason
from smtproxy.session.envelope import Envelope
from smtproxy.session.verdicts import Refused, Stage
from smtproxy.wire.commands import parse_mail
from tests.policy.facts import PHRASES, nothing, rcpt

OPTIONS = RecipientsOptions()
HERE = RecipientEntry(exists=True, source="people", age=3.0)
GONE = RecipientEntry(exists=False, source="people", age=3.0)


def evidence(
    fact: Fact[RecipientEntry] | None,
    *,
    to: str = "anna@example.org",
    sender: str = "s@example.com",
    size: int | None = None,
) -> Evidence:
    made = rcpt(to)
    made.dialogue.envelope = Envelope(parse_mail(f"FROM:<{sender}>".encode()).path)
    made.dialogue.declared_size = size
    return Evidence(made.stage, made.dialogue, {} if fact is None else {RECIPIENT.name: fact})


def judged(entry: RecipientEntry, **more: object) -> Outcome:
    return recipients(OPTIONS, evidence(Known(entry), **more))  # type: ignore[arg-type]


def test_who_exists_is_taken() -> None:
    assert judged(HERE) is None
    assert recipients(OPTIONS, nothing(Stage.RECIPIENT)) is None


@pytest.mark.parametrize(
    ("change", "reason", "reply"),
    [
        ({"exists": False}, Reason.UNKNOWN_RECIPIENT, b"550 5.1.1 "),
        ({"requires_authentication": True}, Reason.RECIPIENT_NEEDS_AUTHENTICATION, b"550 5.7.1 "),
        ({"allowed_senders": ("t@example.com",)}, Reason.RECIPIENT_RESTRICTED, b"550 5.7.1 "),
        ({"denied_senders": ("s@example.com",)}, Reason.RECIPIENT_RESTRICTED, b"550 5.7.1 "),
        ({"size_limit": 99}, Reason.RECIPIENT_SIZE, b"552 5.3.4 "),
        ({"over_quota": True}, Reason.RECIPIENT_OVER_QUOTA, b"452 4.2.2 "),
    ],
)
def test_what_is_found_and_said(change: dict[str, object], reason: Reason, reply: bytes) -> None:
    known = evidence(Known(replace(HERE, **change)), size=100)  # type: ignore[arg-type]
    found = recipients(OPTIONS, known)
    assert isinstance(found, Finding)
    assert found.reason is reason
    assert found.saw["source"] == "people"
    verdict = Policy((Check(CHECK, OPTIONS),)).judge(known, PHRASES)
    assert isinstance(verdict, Refused)
    assert verdict.reply.encode().startswith(reply)


def test_limits_that_are_kept() -> None:
    assert judged(replace(HERE, size_limit=100), size=100) is None
    assert judged(replace(HERE, size_limit=100)) is None
    assert judged(replace(HERE, allowed_senders=("s@example.com",)), sender="S@EXAMPLE.com") is None
    assert judged(replace(HERE, allowed_senders=("t@example.com",)), sender="") is None


@pytest.mark.parametrize("fact", [None, Unknown("people: down")])
def test_a_source_that_cannot_answer(fact: Fact[RecipientEntry] | None) -> None:
    why = "not_asked" if fact is None else "people: down"
    assert recipients(OPTIONS, evidence(fact)) == CannotTell("recipient", why)
    verdict = Policy((Check(CHECK, OPTIONS),)).judge(evidence(fact), PHRASES)
    assert isinstance(verdict, Refused)
    assert verdict.reply.encode().startswith(b"451 4.4.3 ")
    assert recipients(RecipientsOptions(OnError.PASS), evidence(fact)) is None


@pytest.mark.parametrize("to", ["postmaster", "Postmaster@example.org"])
def test_postmaster_is_taken(to: str) -> None:
    for fact in (Known(GONE), Known(replace(HERE, requires_authentication=True)), Unknown("down"), None):
        assert recipients(OPTIONS, evidence(fact, to=to)) is None


def test_postmaster_like_any_other() -> None:
    options = RecipientsOptions(accept_postmaster=False)
    found = recipients(options, evidence(Known(GONE), to="postmaster@example.org"))
    assert isinstance(found, Finding)
    assert recipients(options, evidence(Known(HERE), to="postmaster@example.org")) is None


def test_it_is_a_duty_at_recipient() -> None:
    assert CHECK.duty
    assert CHECK.stages == {Stage.RECIPIENT}
    assert CHECK.needs == (RECIPIENT,)
