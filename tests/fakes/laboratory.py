"""A session in memory: the relay, the policy and the sample backend wired together, with a clock that tests move.

It does what `network/driver.py` does, without sockets: it performs effects in order, judges and looks on the spot, and
moves octets. It must do nothing that the driver cannot do: an event comes between two events, or interrupts a
write, and then what was still to go to the backend is dropped. Nothing ever sleeps; a wait that nothing will end jumps
to the relay's deadline. The hooks `on_...` let a test meddle at each of these places.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smtproxy.policy.evidence import Evidence, Fact
from smtproxy.policy.judge import Policy
from smtproxy.policy.replies import Phrasebook
from smtproxy.sample.profile import Profile
from smtproxy.sample.profiles import PROFILES
from smtproxy.sample.record import BackendRecord
from smtproxy.sample.script import Script
from smtproxy.session import events
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.memory import Memory
from smtproxy.session.records import FIELDS
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.relay import Relay
from smtproxy.session.settings import BackendTls, RelaySettings
from smtproxy.session.tarpit import Tarpit, TarpitSettings
from smtproxy.session.verdicts import Stage, Verdict
from smtproxy.wire.ehlo import Capabilities, intersect
from tests.fakes.heard import read_replies
from tests.fakes.policies import default_policy
from tests.fakes.servers import AGREED, Line, Servers

SESSION = "testsession"
EPOCH = 1_700_000_000.0

_TO_BACKEND = (events.Forward, events.ForwardKept, events.Commit, events.Look)
_CUT_OFF = (events.Forward, events.ForwardKept)
"""Writes behind which nothing more may leave if anything at all interrupted them."""
_FROM_PEERS = (events.BackendBytes, events.BackendClosed, events.ClientClosed)


class Laboratory:
    """One session and its backend servers."""

    def __init__(
        self,
        settings: RelaySettings | None = None,
        *,
        profile: Profile | None = None,
        script: Script | None = None,
        policy: Policy | None = None,
        servers: Sequence[str] = ("backend:25",),
        offered: Capabilities | None = None,
        client: str = "192.0.2.10",
        memory: int = 1 << 28,
        disk: int = 1 << 30,
        security: BackendTls = BackendTls.OFF,
        tarpit: TarpitSettings | None = None,
    ) -> None:
        """Build the parts; nothing happens before `start`."""
        self.settings = settings or RelaySettings("mx.example.org")
        self.policy = policy or default_policy(self.settings)
        self.servers = Servers(
            profile or PROFILES["exchange"],
            script or Script(),
            tuple(servers),
            self.settings.hostname,
            security=security,
        )
        self.now = 1000.0
        self.dialogue = Dialogue(SESSION, client, 4711, now=self.now)
        self.phrases = Phrasebook(self.settings.hostname, SESSION)
        self.memory = Memory(memory)
        self.tarpit = Tarpit(tarpit or TarpitSettings())
        self.disk = disk
        self.relay = Relay(
            self.dialogue,
            self.settings,
            self.phrases,
            offered or promised(self.servers.profile, self.settings),
            self.memory,
            judge=self._judge,
            epoch=EPOCH,
            tarpit=self.tarpit,
        )
        self.line: Line | None = None
        """The connection to the backend."""
        self.heard = b""
        """What the client was sent, as long as it was there."""
        self.client_gone = False
        """The client is gone, and only looks can see it."""
        self.unread = b""
        """What the client sent and the relay has not read."""
        self.timeline: list[tuple[float, events.Event | events.Effect]] = []
        """Everything that happened, in order, with its time."""
        self.log: list[tuple[LogEvent, Mapping[str, object]]] = []
        self.kept = bytearray()
        """The session's file."""
        self.finished = False
        self.facts: dict[str, Fact[Any]] = {}
        """What lookups would have found."""
        self.shakes_hands = False
        """The client does its part of each handshake at once."""
        self.on_wait: Callable[[], events.Event | None] = _nothing
        """What happens instead of what the relay waits for."""
        self.on_judge: Callable[[Stage], Verdict | None] = self.verdict
        """The verdict; None: it comes later, as an event."""
        self.on_look: Callable[[events.Look, events.Looked], events.Looked] = _as_seen
        """What a look shows."""
        self.on_write: Callable[[events.Effect], events.Event | None] = _undisturbed
        """What interrupts a write, a dial or a terminator half-way."""

    # The client

    def start(self) -> "Laboratory":
        """Connect the client."""
        self.event(events.Started())
        self.run()
        return self

    def send(self, octets: bytes) -> bytes:
        """Let the client send octets; return what it heard since."""
        mark = len(self.heard)
        self.unread += octets
        self.run()
        return self.heard[mark:]

    def close(self, how: str = "closed") -> None:
        """The client closes its connection."""
        self.event(events.ClientClosed(how))

    def run(self) -> None:
        """Go on until neither the backend nor unread input of the client can move the session."""
        while not self.finished:
            event = self.on_wait() or self._awaited()
            if event is None:
                return
            self.event(event)

    def pass_time(self, seconds: float) -> None:
        """Let time pass; deadlines of the relay and timers of the backend fire on the way."""
        end = self.now + seconds
        while not self.finished:
            due, line = self.relay.deadline, self.line
            if line is not None and line.timer is not None and line.timer <= min(end, due):
                self.now = max(self.now, line.timer)
                line.tick(self.now)
                if self.relay.waits_for is events.Wait.BACKEND:
                    self.run()
            elif due <= end:
                self.now = max(self.now, due)
                self.event(events.Timeout())
                self.run()
            else:
                break
        self.now = max(self.now, end)

    # Events

    def event(self, event: events.Event) -> None:
        """Let something happen to the relay."""
        if isinstance(event, events.BackendBytes) and self.client_gone and self.relay.committed:
            event = events.BackendBytes(event.octets, client_gone=True)
        effects = deque(self._handle(event))
        while effects:
            effect = effects.popleft()
            self.timeline.append((self.now, effect))
            answer = self._perform(effect)
            if isinstance(answer, events.BackendBytes) and isinstance(effect, _CUT_OFF):
                answer = events.BackendBytes(answer.octets, early=True)
            if isinstance(answer, _FROM_PEERS) or (answer is not None and isinstance(effect, _CUT_OFF)):
                effects = deque(one for one in effects if not isinstance(one, _TO_BACKEND))
            if answer is not None:
                effects.extend(self._handle(answer))

    def _handle(self, event: events.Event) -> list[events.Effect]:
        self.timeline.append((self.now, event))
        return self.relay.handle(event, self.now)

    def _awaited(self) -> events.Event | None:
        """Return what the relay waits for, if it can be had."""
        wait, line = self.relay.waits_for, self.line
        if wait is events.Wait.CLIENT and self.unread:
            octets, self.unread = self.unread, b""
            return events.ClientBytes(octets)
        if wait is events.Wait.TLS and self.shakes_hands:
            return events.Secured(AGREED)
        if wait is events.Wait.BACKEND:
            while line is not None and not line.inbox and line.timer is not None:
                if line.timer > self.relay.deadline:
                    break
                self.now = max(self.now, line.timer)
                line.tick(self.now)
            if line is not None and line.inbox:
                return line.inbox.popleft()
        if wait in (events.Wait.BACKEND, events.Wait.DELAY, events.Wait.PACE):
            self.now = max(self.now, self.relay.deadline)
            return events.Timeout()
        return None

    # Effects

    def _perform(self, effect: events.Effect) -> events.Event | None:
        match effect:
            case events.Answer() | events.Forward() | events.ForwardKept() | events.Commit():
                return self._write(effect)
            case events.Look():
                return self.on_look(effect, self._look(effect))
            case events.OpenBackend():
                return self.on_write(effect) or self._open(effect)
            case events.Keep():
                return self._keep(effect.octets)
            case events.DropKept():
                self.kept.clear()
            case events.SecureBackend() if self.line is not None:
                self.line.secure()
            case events.CloseBackend():
                if self.line is not None and effect.no_tls:
                    self.servers.clear.add(self.line.upstream.server)
                if self.line is not None and not (effect.warm is not None and self.servers.keep(self.line)):
                    self.line.hang_up(effect.farewell)
                self.line = None
            case events.Record():
                unknown = set(effect.fields) - set(FIELDS[effect.event])
                assert not unknown, f"undocumented fields {unknown} in {effect.event}"
                self.log.append((effect.event, dict(effect.fields)))
            case events.Finish():
                self.finished = True
        return None

    def _write(
        self, effect: events.Answer | events.Forward | events.ForwardKept | events.Commit
    ) -> events.Event | None:
        """Hand octets over: all of them, or the first half if the write is interrupted."""
        interruption = self.on_write(effect)
        octets = bytes(self.kept) if isinstance(effect, events.ForwardKept) else effect.octets
        if interruption is not None:
            octets = octets[: len(octets) // 2]
        if isinstance(effect, events.Answer):
            if not self.client_gone:
                self.heard += octets
        elif self.line is not None and octets:
            self.line.write(octets, self.now)
        return interruption

    def verdict(self, stage: Stage) -> Verdict:
        """Return the policy's own verdict."""
        return self.policy.judge(Evidence(stage, self.dialogue, self.facts), self.phrases)

    def _judge(self, stage: Stage) -> Verdict | None:
        """Judge on the spot, in the middle of an event, as the driver does. The timeline shows it as an event."""
        verdict = self.on_judge(stage)
        if verdict is not None:
            self.timeline.append((self.now, events.Judged(verdict)))
        return verdict

    def _open(self, effect: events.OpenBackend) -> events.Event:
        got = self.servers.connect(effect.tried, self.now, fresh=effect.fresh)
        if isinstance(got, str):
            return events.BackendFailed(got)
        self.line = got
        return events.BackendOpened(got.upstream)

    def _look(self, effect: events.Look) -> events.Looked:
        octets, closed = b"", False
        inbox = self.line.inbox if self.line is not None else deque()
        while inbox:
            event = inbox.popleft()
            if isinstance(event, events.BackendBytes):
                octets += event.octets
            else:
                closed = True
        return events.Looked(octets, closed, effect.client and self.client_gone)

    def _keep(self, octets: bytes) -> events.Stored:
        if len(self.kept) + len(octets) > self.disk:
            return events.Stored("No space left on device")
        self.kept += octets
        return events.Stored()

    # Questions

    @property
    def record(self) -> BackendRecord:
        """What the backend saw."""
        return self.servers.record

    @property
    def codes(self) -> list[int]:
        """Reply codes the client heard, in order."""
        return [reply.code for reply in read_replies(self.heard)[0]]

    @property
    def messages(self) -> list[Mapping[str, object]]:
        """All `message` lines."""
        return self.lines(LogEvent.MESSAGE)

    def lines(self, event: LogEvent) -> list[Mapping[str, object]]:
        """Log lines of one kind."""
        return [fields for kind, fields in self.log if kind is event]

    def effects(self, kind: type[events.Effect]) -> list[events.Effect]:
        """All effects of one kind."""
        return [what for _, what in self.timeline if isinstance(what, kind)]


def promised(profile: Profile, settings: RelaySettings) -> Capabilities:
    """Return what may be offered to clients of this one backend."""
    keywords = (line.partition(" ")[::2] for line in profile.ehlo or ())
    offered = Capabilities(tuple((word.upper(), value) for word, value in keywords))
    return intersect([offered], settings.max_message_size, settings.chunking.withholds)


def _nothing() -> None:
    """Nothing happens out of turn."""


def _undisturbed(_: events.Effect) -> None:
    """Every write succeeds."""


def _as_seen(_: events.Look, seen: events.Looked) -> events.Looked:
    return seen
