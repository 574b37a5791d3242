"""The account of one transaction: what its `message` line says."""

import pytest

from smtproxy.session.dialogue import MessageFacts
from smtproxy.session.envelope import Recipient
from smtproxy.session.records import FIELDS, Event
from smtproxy.session.transaction import Ending, Passage, Transaction, outcome_of, said
from smtproxy.wire.commands import parse_mail
from smtproxy.wire.replies import Reply
from tests.session.parts import LATER, NEVER, NOW, OK, SETTINGS, dialogue, envelope, recipient

_QUEUED = Reply(250, (b"2.6.0 <1@x> [InternalId=5111011082268, Hostname=mx1.example.org] Queued mail for delivery",))


def _transaction(*recipients: Recipient) -> Transaction:
    return Transaction("testsession.1", envelope(*recipients), NOW - 2.5)


def test_a_reply_as_the_log_shows_it() -> None:
    assert said(None) is None
    assert said(OK) == "250 2.0.0 ok"
    assert said(Reply(250, (b"",))) == "250"


def test_what_a_refusal_means() -> None:
    assert outcome_of(NEVER) == "rejected"
    assert outcome_of(LATER) == "deferred"


@pytest.mark.parametrize(
    ("recipients", "outcome"),
    [
        ((), ("aborted", "client", None)),
        ((recipient(reply=OK),), ("aborted", "client", None)),
        ((recipient(reply=OK), recipient(reply=NEVER)), ("aborted", "client", None)),
        ((recipient(reply=NEVER),), ("rejected", "backend", NEVER)),
        ((recipient(reply=NEVER), recipient(reply=LATER, by="some_check")), ("deferred", "some_check", LATER)),
        ((recipient(reply=LATER), recipient(reply=NEVER)), ("rejected", "backend", NEVER)),
        ((recipient(),), ("aborted", "client", None)),
    ],
)
def test_a_transaction_without_a_dot(recipients: tuple[Recipient, ...], outcome: tuple[str, str, Reply | None]) -> None:
    assert _transaction(*recipients).unfinished() == outcome


def test_the_line_has_documented_fields_only_and_all_that_are_always_there() -> None:
    made = _transaction(recipient(reply=OK))
    facts = dialogue(made.envelope)
    fields = made.fields(facts, SETTINGS, Ending("delivered", "backend", OK), Passage(OK, "backend:25"))
    assert set(fields) <= set(FIELDS[Event.MESSAGE]) - {"evidence"}
    assert {"session", "transaction", "sender", "recipients", "outcome", "by", "reply", "client_heard"} <= set(fields)
    assert fields["duration"] == 2.5
    assert fields["recipients"] == [{"to": "one@example.org", "reply": "250 2.0.0 ok", "by": "backend"}]


def test_the_full_line() -> None:
    made = _transaction(recipient(reply=OK))
    made.envelope.parameters = parse_mail(b"FROM:<> SIZE=10 SMTPUTF8").parameters
    made.body, made.framing, made.dot_at = "hold", (True, False), NOW - 1
    facts = dialogue(made.envelope)
    facts.proxy = "192.0.2.1"
    facts.message = MessageFacts(10, bare_newlines=False, dot_line=False, received=2, message_id="<1@x>")
    fields = made.fields(
        facts, SETTINGS, Ending("delivered", "backend", _QUEUED), Passage(_QUEUED, "b:25", 1, "TLSv1.3", NOW - 0.5)
    )
    assert set(fields) == set(FIELDS[Event.MESSAGE]) - {"evidence"}
    assert (fields["internal_id"], fields["internal_host"]) == ("5111011082268", "mx1.example.org")
    assert fields["framing"] == "BDAT to DATA"
    assert (fields["size"], fields["received"], fields["message_id"]) == (10, 2, "<1@x>")
    assert (fields["parameters"], fields["replays"], fields["answer_time"]) == ("SIZE=10 SMTPUTF8", 1, 1.0)
    assert fields["commit_time"] == 0.5


def test_internal_ids_are_read_from_a_delivery_only() -> None:
    made = _transaction(recipient(reply=OK))
    for outcome in ("rejected", "deferred", "unknown", "aborted"):
        fields = made.fields(dialogue(made.envelope), SETTINGS, Ending(outcome, "backend", OK), Passage(_QUEUED))
        assert "internal_id" not in fields


def test_lists_are_bounded() -> None:
    made = _transaction(*(recipient(f"r{number}@example.org", OK) for number in range(60)))
    made.note(tuple({"check": str(number)} for number in range(60)), 50)
    made.note(({"check": "late"},), 50)
    fields = made.fields(dialogue(made.envelope), SETTINGS, Ending("delivered", "backend", OK), Passage())
    assert isinstance(fields["recipients"], list)
    assert len(fields["recipients"]) == SETTINGS.limits.logged_recipients
    assert fields["recipients_total"] == fields["recipients_accepted"] == 60
    assert len(made.notes) == 50
