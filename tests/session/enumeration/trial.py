"""What became of each transaction of a session that was played, put together from its timeline for the judges."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from smtproxy.sample.record import Delivery
from smtproxy.session import events
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.verdicts import Stage, Verdict
from tests.fakes.heard import Heard, read_replies
from tests.session.enumeration.play import Played
from tests.session.enumeration.talk import Letter


@dataclass(slots=True)
class Case:
    """One transaction, by its name in the log."""

    line: Mapping[str, object] = field(default_factory=dict)
    """Its `message` line."""
    lines: int = 0
    verdict: Verdict | None = None
    """The verdict about the message."""
    committed_at: float | None = None
    commit: int = -1
    """Place of `Commit` in the timeline."""
    commits: int = 0
    answered: bytes = b""
    """What the backend said between the commit and the line."""
    ended_by: events.Event | None = None
    """The event that brought the line."""
    ended_at: float = 0.0

    @property
    def final(self) -> Heard | None:
        """The backend's reply to the dot: the first complete one behind the commit; None: nothing that is a reply."""
        replies, _ = read_replies(self.answered)
        return replies[0] if replies else None

    @property
    def outcome(self) -> str:
        """As logged."""
        return str(self.line.get("outcome"))


@dataclass(slots=True)
class Trial:
    """A session and its transactions."""

    played: Played
    cases: list[Case]
    """In the order of the log."""

    def case(self, letter: Letter) -> Case | None:
        """The transaction of a letter; None: it was never begun."""
        return next((case for case in self.cases if case.line.get("sender") == letter.sender), None)

    def deliveries(self, letter: Letter) -> list[Delivery]:
        """What backends took of a letter."""
        mark = f"X-Letter: {letter.number}\r\n".encode()
        return [delivery for delivery in self.played.lab.record.accepted if mark in delivery.wire]


def put_together(played: Played) -> Trial:
    """Read the timeline once."""
    cases: list[Case] = []
    case = Case()
    event: events.Event | None = None
    for place, (at, what) in enumerate(played.lab.timeline):
        match what:
            case events.Judged():
                # On the spot, in the middle of another event: it brings nothing about by itself.
                if what.verdict.stage is Stage.MESSAGE:
                    case.verdict = what.verdict
            case events.Commit():
                case.committed_at, case.commit, case.commits = at, place, case.commits + 1
            case events.BackendBytes():
                event = what
                if case.commits:
                    case.answered += what.octets
            case events.Record() if what.event is LogEvent.MESSAGE:
                case.line, case.ended_by, case.ended_at = what.fields, event, at
                cases.append(case)
                case = Case()
            case _ if isinstance(what, events.Event):
                event = what
            case _:
                pass
    return Trial(played, cases)
