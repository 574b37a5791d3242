"""A whole relay between a client that says what it is told and a backend that takes every message and keeps its octets.

Relay, policy and their rules are the product's own; sockets, clock and log are left out, and the backend is a strict
one in its shortest form. It takes a quarter of the time of `tests.fakes.laboratory`, which the enumeration needs; the
laboratory, with the sample backend in it, plays a part of the same cases in `test_live.py`.
"""

from collections import deque
from dataclasses import dataclass, field, replace

from smtproxy.policy.checks import bare_newlines, loops, protocol_errors, recipient_domain, size
from smtproxy.policy.evidence import Evidence
from smtproxy.policy.judge import Check, Policy
from smtproxy.policy.replies import Phrasebook
from smtproxy.session import events
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.limits import LIMITS, Limits
from smtproxy.session.memory import Memory
from smtproxy.session.relay import Relay
from smtproxy.session.settings import BodyMode, RelaySettings
from smtproxy.session.upstream import Upstream
from smtproxy.session.verdicts import Stage, Verdict
from smtproxy.wire.ehlo import Capabilities
from smtproxy.wire.newlines import NewlineMode

ENVELOPE = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@example.org>\r\n"
DATA = b"DATA\r\n"
_HOSTNAME = "mx.example.org"
_OFFERED = Capabilities((("PIPELINING", ""),))
_PHRASES = Phrasebook(_HOSTNAME, "session")
_NOW = 1000.0


@dataclass(frozen=True, slots=True)
class Mode:
    """How bodies travel."""

    name: str
    body: BodyMode
    memory: int = LIMITS.body_memory
    """Octets of a body kept in memory before it is streamed (auto) or goes to disk (hold)."""


AUTO = Mode("auto", BodyMode.AUTO)
HOLD = Mode("hold", BodyMode.HOLD)
STREAM = Mode("stream", BodyMode.STREAM)
MODES = (AUTO, HOLD, STREAM)
SPILLING = (Mode("auto, 9 octets in memory", BodyMode.AUTO, 9), Mode("hold, 9 octets in memory", BodyMode.HOLD, 9))
"""The bound is reached in or right before the string: there auto begins to stream, and hold to write."""


@dataclass(slots=True)
class Seen:
    """What one talk of the client led to."""

    codes: list[int] = field(default_factory=list)
    """Replies behind the first 354."""
    committed: list[bytes] = field(default_factory=list)
    """Each message the backend got to its end: from MAIL to the terminator."""
    broken_off: list[bytes] = field(default_factory=list)
    """What it got of messages that were never ended: from MAIL to the close."""
    closed: bool = False


class Relayed:
    """One session; several talks may follow each other in it."""

    def __init__(self, setting: NewlineMode, mode: Mode) -> None:
        settings = RelaySettings(
            _HOSTNAME, body=mode.body, newlines=setting, trace_header=False, limits=_limits(mode.memory)
        )
        self._policy = _policy(setting, settings)
        self._dialogue = Dialogue("session", "192.0.2.10")
        self._relay = Relay(self._dialogue, settings, _PHRASES, _OFFERED, Memory(1 << 30), judge=self._verdict)
        self._seen = Seen()
        self._heard: list[bytes] = []
        self._given: list[bytes] = []
        """What the backend got since the last end of a message."""
        self._in_body = False
        self._kept = b""
        self._event(events.Started())
        self._event(events.ClientBytes(b"EHLO client.example\r\n"))

    def say(self, pieces: list[bytes]) -> Seen:
        """Begin a message, then send these pieces behind the 354; -> what came of it."""
        self._seen = seen = Seen()
        self._heard.clear()
        self._event(events.ClientBytes(ENVELOPE + DATA))
        for piece in pieces:
            if self._relay.over:
                break
            self._event(events.ClientBytes(piece))
        self._close_backend()
        codes = [int(line[:3]) for line in b"".join(self._heard).split(b"\r\n") if line]
        assert codes[:3] == [250, 250, 354], codes
        seen.codes, seen.closed = codes[3:], self._relay.over
        return seen

    @property
    def over(self) -> bool:
        """Whether the session has ended."""
        return self._relay.over

    def _event(self, event: events.Event) -> None:
        relay = self._relay
        todo: deque[events.Event] = deque((event,))
        while todo:
            for effect in relay.handle(todo.popleft(), _NOW):
                answer = self._perform(effect)
                if answer is not None:
                    todo.append(answer)

    def _verdict(self, stage: Stage) -> Verdict:
        return self._policy.judge(Evidence(stage, self._dialogue), _PHRASES)

    def _perform(self, effect: events.Effect) -> events.Event | None:
        match effect:
            case events.Look():
                return events.Looked()
            case events.Answer():
                self._heard.append(effect.octets)
            case events.Forward():
                return self._forward(effect.octets)
            case events.Commit():
                self._given.append(effect.octets)
                self._seen.committed.append(b"".join(self._given))
                self._given.clear()
                self._in_body = False
                return events.BackendBytes(b"250 2.6.0 Queued\r\n")
            case events.OpenBackend():
                upstream = Upstream("backend:25", _HOSTNAME)
                upstream.capabilities, upstream.ready = _OFFERED, True
                for _ in upstream.receive(b"220 backend\r\n"):
                    pass
                return events.BackendOpened(upstream)
            case events.CloseBackend():
                self._close_backend()
            case events.Keep():
                self._kept += effect.octets
                return events.Stored()
            case events.ForwardKept():
                return self._forward(self._kept)
            case events.DropKept():
                self._kept = b""
            case _:
                pass
        return None

    def _forward(self, octets: bytes) -> events.Event | None:
        self._given.append(octets)
        if self._in_body:
            return None
        if octets == DATA:
            self._in_body = True
            return events.BackendBytes(b"354 Go on\r\n")
        return events.BackendBytes(b"250 OK\r\n" * octets.count(b"\r\n"))

    def _close_backend(self) -> None:
        """The backend sees the end of its connection, or the enumeration looks at what it has so far."""
        if self._given:
            self._seen.broken_off.append(b"".join(self._given))
        self._given.clear()
        self._in_body = False


def _limits(memory: int) -> Limits:
    # A session of the enumeration holds more talks than any client's; the policy below is as patient.
    return replace(LIMITS, commands=1 << 60, junk_commands=1 << 60, body_memory=memory)


def _policy(setting: NewlineMode, settings: RelaySettings) -> Policy:
    patient = protocol_errors.ProtocolErrorsOptions(soft=1 << 60, hard=1 << 60)
    return Policy(
        (
            Check(recipient_domain.CHECK, recipient_domain.RecipientDomainOptions(domains=frozenset({"example.org"}))),
            Check(size.CHECK, size.SizeOptions(settings.max_message_size)),
            Check(bare_newlines.CHECK, bare_newlines.BareNewlinesOptions(setting)),
            Check(loops.CHECK, loops.LoopsOptions()),
            Check(protocol_errors.CHECK, patient),
        )
    )
