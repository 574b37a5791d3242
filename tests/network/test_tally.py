"""What a session has used is told once, when it is known; and who is meant."""

from typing import Any

import pytest

from smtproxy.network.tally import Tally
from smtproxy.policy.evidence import Fact, Known
from smtproxy.policy.facts import SPF, Spf
from smtproxy.policy.rate_limits import Of, Subject
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.wire.paths import Path
from smtproxy.wire.replies import Reply

SENDER = Path("a", "example.net")
FACTS: dict[str, Fact[Any]] = {SPF.name: Known(Spf("pass", "example.net"))}


class Desk:
    """A session's tally, and what was charged."""

    def __init__(self) -> None:
        self.charged: list[tuple[Of, float]] = []
        self.subjects: list[Subject] = []
        self.dialogue = Dialogue("s", "192.0.2.10")
        self.tally = Tally(self._charge, self.dialogue, "mx", FACTS)
        self.envelope = Envelope(SENDER)

    def _charge(self, of: Of, subject: Subject, cost: float) -> None:
        self.charged.append((of, cost))
        self.subjects.append(subject)

    def recipient(self, reply: str | None) -> Recipient:
        one = Recipient(Path("b", "example.org"))
        self.envelope.recipients.append(one)
        return self.answered(one, reply)

    @staticmethod
    def answered(one: Recipient, reply: str | None) -> Recipient:
        if reply is not None:
            one.reply, one.by = Reply(int(reply[:3]), (reply[4:].encode(),)), "backend"
        return one


@pytest.mark.parametrize(
    ("reply", "charged"),
    [
        ("250 2.1.5 OK", []),
        ("451 4.3.2 busy", []),
        ("450 4.7.0 Too many messages in a short time", []),
        ("550 5.7.1 Relaying denied", [Of.REFUSALS]),
        ("550 no", [Of.REFUSALS]),
        ("550 5.1.1 No such mailbox", [Of.REFUSALS, Of.UNKNOWN_RECIPIENTS]),
        ("550 5.1.10 RecipientNotFound", [Of.REFUSALS, Of.UNKNOWN_RECIPIENTS]),
    ],
)
def test_recipients_by_their_answers(reply: str, charged: list[Of]) -> None:
    desk = Desk()
    desk.recipient(reply)
    desk.tally.recipients(desk.envelope)
    assert desk.charged == [(of, 1) for of in charged]
    assert all(one == Subject("192.0.2.10", "mx", SENDER, Path("b", "example.org"), FACTS) for one in desk.subjects)


def test_each_is_told_once_and_not_before_its_answer() -> None:
    desk = Desk()
    first, second = desk.recipient(None), desk.recipient(None)
    desk.tally.recipients(desk.envelope)
    assert desk.charged == []
    desk.answered(first, "550 5.7.1 no")
    desk.tally.recipients(desk.envelope)
    desk.tally.recipients(desk.envelope)
    assert desk.charged == [(Of.REFUSALS, 1)]
    desk.answered(second, "550 5.7.1 no")
    desk.tally.ended(desk.envelope, {"outcome": "rejected"})
    assert desk.charged == [(Of.REFUSALS, 1), (Of.REFUSALS, 1)]
    desk.envelope = Envelope(SENDER)
    desk.recipient("550 5.7.1 no")
    desk.tally.recipients(desk.envelope)
    assert len(desk.charged) == 3, "another transaction begins anew"


@pytest.mark.parametrize(
    ("outcome", "charged"),
    [
        ("delivered", [(Of.OCTETS, 700)]),
        ("deferred", [(Of.OCTETS, 700)]),
        ("rejected", [(Of.OCTETS, 700), (Of.REFUSALS, 1)]),
    ],
)
def test_a_message_when_its_line_is_written(outcome: str, charged: list[tuple[Of, float]]) -> None:
    desk = Desk()
    desk.tally.ended(desk.envelope, {"outcome": outcome, "size": 700})
    assert desk.charged == charged


def test_without_a_message_there_is_nothing_but_recipients() -> None:
    desk = Desk()
    desk.tally.ended(None, {"outcome": "aborted"})
    desk.tally.recipients(None)
    assert desk.charged == []


def test_errors_since_the_last_time() -> None:
    desk = Desk()
    desk.tally.errors()
    desk.dialogue.errors = 3
    desk.tally.errors()
    desk.tally.errors()
    desk.dialogue.errors = 4
    desk.tally.errors()
    assert desk.charged == [(Of.ERRORS, 3), (Of.ERRORS, 1)]
    assert desk.subjects[0] == Subject("192.0.2.10", "mx", None, None, FACTS)
