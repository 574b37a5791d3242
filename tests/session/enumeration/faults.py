"""The faults, and at which kind of step each of them can strike. What cannot happen has its reason here."""

from collections.abc import Mapping
from enum import Enum

from tests.session.enumeration.steps import Kind, Step


class Fault(Enum):
    """What goes wrong. `NONE` is the schedule in which nothing does."""

    NONE = "nothing"

    CLIENT_EOF = "client gone by end of file"
    CLIENT_RESET = "client gone by reset"
    CLIENT_LOST = "client gone, found by the sweeper"
    CLIENT_UNSEEN = "client gone, seen by looks only"

    RECALL = "lease recalled"
    LEASE = "lease run out"
    TIME_OUT = "silence until the relay's deadline"
    DRAIN = "shutdown that waits for the transaction"
    SHUTDOWN = "shutdown now"
    CRASH = "crash of ours"
    DISK_FULL = "disk full"
    MEMORY_FULL = "memory used up by others"

    REFUSED = "refused for good by policy"
    DEFERRED = "deferred by policy"
    DROPPED = "dropped by policy"
    TARPIT = "delayed by policy"
    LATE_VERDICT = "late verdict"

    GONE = "backend gone"
    RESET = "backend gone by reset"
    DEAD = "backend gone, and no server takes another connection"
    GONE_EVERY_TIME = "backend gone at this point on each connection"
    STORED_AND_GONE = "backend takes the message and is gone without a word"
    SAYS_421 = "backend says 421"
    SAYS_4XX = "backend says 4xx"
    SAYS_5XX = "backend says 5xx"
    SAYS_503 = "backend blames our dialogue"
    SAYS_2XX = "unexpected 2xx"
    SAYS_3XX = "unexpected 3xx"
    GARBAGE = "garbage"
    HALF_A_REPLY = "the beginning of a reply"
    STALE_BEFORE = "stale extra 2xx before the reply"
    STALE_BEHIND = "stale extra 2xx behind the reply"
    STALE_BAD_BEHIND = "stale extra 5xx behind the reply"
    PIECES = "reply octet by octet"
    LATE_REPLY = "reply shortly before the time-out"
    STORED_AND_SILENT = "backend takes the message and never says so"
    SILENCE = "silence until time-out"

    NO_SERVER = "no server takes a connection"
    FULL = "no place below max_connections"
    STALLED = "the write never ends"
    SLOW_WRITE = "the write ends late"

    def __str__(self) -> str:
        return self.value


F = Fault
_CLIENT_READ = frozenset({F.CLIENT_EOF, F.CLIENT_RESET})
_OWN = frozenset({F.RECALL, F.DRAIN, F.SHUTDOWN, F.CRASH})
_POLICY = frozenset({F.REFUSED, F.DEFERRED, F.DROPPED, F.TARPIT, F.LATE_VERDICT})
_ROOM = frozenset({F.DISK_FULL, F.MEMORY_FULL})
_REPLIES = frozenset(
    {F.RESET, F.GONE_EVERY_TIME, F.STALE_BEFORE, F.STALE_BEHIND, F.STALE_BAD_BEHIND, F.PIECES, F.LATE_REPLY, F.SILENCE}
)
_STORED = frozenset({F.STORED_AND_GONE, F.STORED_AND_SILENT})
_PLACE = frozenset({F.NO_SERVER, F.FULL})
_WRITING = frozenset({F.STALLED, F.SLOW_WRITE})
UNASKED: Mapping[Fault, bytes] = {
    F.SAYS_421: b"421 4.3.2 STRAY\r\n",
    F.SAYS_4XX: b"450 4.2.0 STRAY\r\n",
    F.SAYS_5XX: b"550 5.7.0 STRAY\r\n",
    F.SAYS_503: b"503 5.5.1 STRAY\r\n",
    F.SAYS_2XX: b"250 2.6.0 STRAY\r\n",
    F.SAYS_3XX: b"354 STRAY\r\n",
    F.GARBAGE: b"\x00\xff STRAY \r\r\n",
    F.HALF_A_REPLY: b"25",
}
"""What a backend says. Nothing with this word in it may reach the client but a 4xx or 5xx at its own place."""
_SPOKEN = frozenset(UNASKED)
VANISHED = frozenset({F.GONE, F.DEAD})
SCRIPTED = _REPLIES | _STORED | _SPOKEN | VANISHED
"""What a backend does in place of a reply that is due."""

POSSIBLE: Mapping[Kind, frozenset[Fault]] = {
    Kind.CLIENT: _CLIENT_READ | _OWN | _ROOM | {F.LEASE, F.TIME_OUT} | _SPOKEN - {F.SAYS_503} | VANISHED,
    Kind.VERDICT: _POLICY
    | _OWN
    | {F.CLIENT_LOST, F.CLIENT_UNSEEN, F.TIME_OUT, F.SAYS_2XX, F.SAYS_421, F.SAYS_5XX, F.HALF_A_REPLY}
    | VANISHED,
    Kind.REPLY: _REPLIES | _STORED | _SPOKEN - {F.HALF_A_REPLY} | VANISHED | _OWN | {F.CLIENT_LOST, F.CLIENT_UNSEEN},
    Kind.LOOK: _SPOKEN - {F.SAYS_503} | VANISHED | {F.CLIENT_UNSEEN},
    Kind.WRITE: _WRITING | VANISHED | {F.CLIENT_LOST, F.SHUTDOWN, F.SAYS_2XX, F.SAYS_421, F.SAYS_5XX, F.GARBAGE},
    Kind.OPENING: _PLACE | {F.CLIENT_LOST, F.SHUTDOWN, F.LATE_REPLY},
    Kind.HANDSHAKE: VANISHED | _OWN | {F.GARBAGE, F.SILENCE, F.CLIENT_LOST, F.CLIENT_UNSEEN},
    Kind.CLIENT_HANDSHAKE: _OWN | {F.CLIENT_RESET, F.TIME_OUT},
}
"""The faults that can strike at a kind of step."""

_COMMANDS = frozenset({Step.WRITE_HELLO, Step.WRITE_STARTTLS, Step.WRITE_GROUP, Step.WRITE_DATA})
"""Writes of commands to the backend."""
_ANSWERS = frozenset({Step.WRITE_BANNER, Step.WRITE_READY, Step.WRITE_ANSWER, Step.WRITE_GO_AHEAD, Step.WRITE_FINAL})
"""Writes to the client."""


def impossible(step: Step, fault: Fault) -> str | None:
    """Return why a fault cannot strike at a step, under whatever configuration; None: it can."""
    kind = step.kind
    if fault is F.NONE:
        return None
    if fault not in POSSIBLE[kind]:
        return _reason(kind, fault)
    if fault in _STORED and step is not Step.DOT:
        return "only at the final dot a backend takes a message"
    if kind is Kind.REPLY and fault is (F.SAYS_3XX if step is Step.DATA else F.SAYS_2XX):
        return "this is what a good server says here"
    if fault in _ROOM and step not in (Step.BEFORE_BODY, Step.IN_BODY):
        return "room is needed while a body is taken in only"
    if step in _ANSWERS and fault not in {F.CLIENT_LOST, F.STALLED, F.SLOW_WRITE}:
        return "while it writes to the client the driver heeds nothing but the client"
    if step in _COMMANDS and fault in _SPOKEN:
        return "what the backend says while commands are written is read behind them: the same as a stale reply"
    if step is Step.WRITE_TERMINATOR and fault in (F.CLIENT_LOST, F.SHUTDOWN):
        return "while the terminator leaves the driver heeds nothing but the backend"
    if step is Step.WRITE_TERMINATOR and fault is not F.GONE and fault in _SPOKEN | VANISHED:
        return "a backend that speaks before it has the whole terminator is taken for gone"
    return None


def _reason(kind: Kind, fault: Fault) -> str:
    """Return why a fault cannot strike at this kind of step."""
    for faults, reason in _REASONS:
        if fault in faults:
            return reason.format(kind.value)
    raise KeyError(f"no reason why {fault} cannot strike while the relay {kind.value}")


_REASONS: tuple[tuple[frozenset[Fault], str], ...] = (
    (_CLIENT_READ, "the client is read only while the relay waits for it; else the sweeper or a look finds its end"),
    (frozenset({F.CLIENT_LOST, F.CLIENT_UNSEEN}), "while the relay {} a lost client is read, or met by the next step"),
    (_POLICY, "the policy speaks only where it is asked"),
    (_ROOM, "room is needed while a body is taken in only"),
    (_PLACE, "a server is looked for only where a connection is asked for"),
    (_WRITING, "nothing is written while the relay {}"),
    (_REPLIES | _STORED, "no reply is due while the relay {}"),
    (_SPOKEN | VANISHED, "no connection, or the same as another way of talking out of turn, while the relay {}"),
    (frozenset({F.LEASE, F.TIME_OUT}), "the relay {}: its deadline is met by silence, late replies and stalled writes"),
    (_OWN, "events of our own are delivered between waits, not while the relay {}"),
)
