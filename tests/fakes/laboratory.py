"""A session in memory: the relay, the policy and a sample backend wired together, with a clock that tests move.

It does what `network/driver.py` does, without sockets: performs effects in order, answers `Judge` and `Look` on the
spot, moves octets between the relay and the sample backend. Nothing ever sleeps; `run_until_quiet` jumps to the next
timer of the backend or deadline of the relay where a test allows it.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from smtproxy.policy.checks import (
    bare_newlines,
    hello,
    loops,
    protocol_errors,
    recipient_domain,
    size,
)
from smtproxy.policy.evidence import Evidence
from smtproxy.policy.findings import Action
from smtproxy.policy.judge import Check, Policy
from smtproxy.policy.replies import Phrasebook
from smtproxy.sample.actions import Close, Reset, Send, Wait
from smtproxy.sample.dialogue import SampleDialogue
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
from smtproxy.session.settings import RelaySettings
from smtproxy.session.upstream import Upstream
from smtproxy.session.verdicts import Verdict
from smtproxy.wire.ehlo import Capabilities, intersect
from smtproxy.wire.newlines import NewlineMode

SESSION = "testsession"


def default_policy(settings: RelaySettings, domains: Sequence[str] = ("example.org",)) -> Policy:
    """Return the checks as they are by default."""
    return Policy(
        (
            Check(recipient_domain.CHECK, recipient_domain.RecipientDomainOptions(frozenset(domains))),
            Check(size.CHECK, size.SizeOptions(settings.max_message_size)),
            Check(bare_newlines.CHECK, bare_newlines.BareNewlinesOptions(settings.newlines or NewlineMode.NORMALISE)),
            Check(loops.CHECK, loops.LoopsOptions()),
            Check(protocol_errors.CHECK, protocol_errors.ProtocolErrorsOptions()),
            Check(hello.CHECK, hello.HelloOptions(frozenset({settings.hostname})), Action.OBSERVE),
        )
    )


@dataclass(slots=True)
class Backend:
    """The sample backend's side of one connection of the session."""

    upstream: Upstream
    dialogue: SampleDialogue
    inbox: deque[events.Event] = field(default_factory=deque)
    """What the relay has not read yet."""
    timer: float | None = None
    alive: bool = True


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
        judge: Callable[["Laboratory", events.Judge], Verdict | None] | None = None,
        client: str = "192.0.2.10",
        memory: int = 1 << 28,
        disk: int = 1 << 30,
    ) -> None:
        """Build the parts; nothing happens before `start`."""
        self.settings = settings or RelaySettings("mx.example.org")
        self.profile = profile or PROFILES["exchange"]
        self.script = script or Script()
        self.policy = policy or default_policy(self.settings)
        self.servers = list(servers)
        self.record = BackendRecord()
        self.dialogue = Dialogue(SESSION, client, 4711)
        self.phrases = Phrasebook(self.settings.hostname, SESSION)
        self.memory = Memory(memory)
        self.disk = disk
        self.now = 1000.0
        if offered is None:
            offered = intersect(
                [Capabilities(tuple(_split(keyword) for keyword in self.profile.keywords))],
                self.settings.max_message_size,
            )
        self.relay = Relay(self.dialogue, self.settings, self.phrases, offered, self.memory, epoch=1_700_000_000.0)
        self.backend: Backend | None = None
        self.judge = judge
        self.heard = b""
        """What the client was sent."""
        self.timeline: list[tuple[str, object]] = []
        """Everything that happened, in order."""
        self.log: list[tuple[LogEvent, Mapping[str, object]]] = []
        self.kept = bytearray()
        self.finished = False
        self.client_gone = False
        """Seen by looks only: a test that closes the client without an event being read."""
        self.before_effect: Callable[[events.Effect], events.Event | None] | None = None
        """Called before each effect; an event it returns happens first (a race)."""
        self.full = False
        self.refuse_connections = False

    # The client

    def start(self) -> "Laboratory":
        """Connect the client."""
        return self.event(events.Started())

    def send(self, octets: bytes) -> bytes:
        """Let the client send octets; return what it heard since."""
        mark = len(self.heard)
        self.feed(octets)
        return self.heard[mark:]

    def feed(self, octets: bytes) -> None:
        """Deliver octets of the client as far as the relay reads them; else they wait in the kernel."""
        if octets:
            self._unread = getattr(self, "_unread", b"") + octets
        self.run()

    _unread = b""

    def run(self) -> None:
        """Go on until neither the backend nor unread input of the client can move the session."""
        while not self.finished:
            wait = self.relay.waits_for
            backend = self.backend
            if wait is events.Wait.CLIENT and self._unread:
                octets, self._unread = self._unread, b""
                self.event(events.ClientBytes(octets))
            elif wait is events.Wait.BACKEND and backend is not None and backend.inbox:
                self.event(backend.inbox.popleft())
            elif backend is not None and backend.timer is not None and wait is events.Wait.BACKEND:
                if backend.timer > self.relay.deadline:
                    self.now = max(self.now, self.relay.deadline)
                    self.event(events.Timeout())
                else:
                    self.now = max(self.now, backend.timer)
                    backend.timer = None
                    self._actions(backend, backend.dialogue.timer())
            elif wait is events.Wait.DELAY:
                self.now = max(self.now, self.relay.deadline)
                self.event(events.Timeout())
            elif wait is events.Wait.BACKEND and (backend is None or backend.alive):
                # Silence: nothing will ever come.
                self.now = max(self.now, self.relay.deadline)
                self.event(events.Timeout())
            else:
                return

    def pass_time(self, seconds: float) -> None:
        """Let time pass; deadlines of the relay and timers of the backend fire on the way."""
        end = self.now + seconds
        while not self.finished:
            due = self.relay.deadline
            backend = self.backend
            timer = backend.timer if backend is not None else None
            if timer is not None and timer <= min(end, due) and backend is not None:
                self.now = max(self.now, timer)
                backend.timer = None
                self._actions(backend, backend.dialogue.timer())
                self._poll()
            elif due <= end:
                self.now = max(self.now, due)
                self.event(events.Timeout())
                self.run()
            else:
                break
        self.now = max(self.now, end)

    def _poll(self) -> None:
        """Do what the sweeper does: tell a waiting relay what the backend said unasked."""
        backend = self.backend
        if backend is not None and backend.inbox and self.relay.waits_for is events.Wait.BACKEND:
            self.run()

    def close(self, how: str = "closed") -> None:
        """The client closes its connection."""
        self.event(events.ClientClosed(how))

    # Events and effects

    def event(self, event: events.Event) -> "Laboratory":
        """Let something happen to the relay."""
        self.timeline.append(("event", event))
        self._perform(deque(self.relay.handle(event, self.now)))
        return self

    def _perform(self, effects: deque[events.Effect]) -> None:
        while effects:
            effect = effects.popleft()
            if self.before_effect is not None:
                intruder = self.before_effect(effect)
                if intruder is not None:
                    self.timeline.append(("intruder", intruder))
                    more = self.relay.handle(intruder, self.now)
                    effects = deque(one for one in (effect, *effects) if not _to_backend(one))
                    effects.extend(more)
                    continue
            self.timeline.append(("effect", effect))
            answer = self._effect(effect)
            if answer is not None:
                self.timeline.append(("event", answer))
                effects.extend(self.relay.handle(answer, self.now))

    def _effect(self, effect: events.Effect) -> events.Event | None:
        backend = self.backend
        match effect:
            case events.Answer():
                if not self.client_gone:
                    self.heard += effect.octets
            case events.Judge():
                return self._judge(effect)
            case events.OpenBackend():
                return self._open(effect)
            case events.Look():
                return self._look(effect)
            case events.Forward() | events.Commit():
                if backend is not None and backend.alive:
                    self._actions(backend, backend.dialogue.feed(effect.octets))
            case events.ForwardKept():
                if backend is not None and backend.alive:
                    self._actions(backend, backend.dialogue.feed(bytes(self.kept)))
            case events.Keep():
                if len(self.kept) + len(effect.octets) > self.disk:
                    return events.Stored("No space left on device")
                self.kept += effect.octets
                return events.Stored()
            case events.DropKept():
                self.kept.clear()
            case events.CloseBackend():
                if backend is not None:
                    if backend.alive:
                        if effect.farewell:
                            backend.dialogue.feed(effect.farewell)
                        backend.dialogue.closed()
                    self.backend = None
            case events.Record():
                self._check_record(effect)
                self.log.append((effect.event, dict(effect.fields)))
            case events.Finish():
                self.finished = True
        return None

    def _check_record(self, effect: events.Record) -> None:
        unknown = set(effect.fields) - set(FIELDS[effect.event])
        assert not unknown, f"undocumented fields {unknown} in {effect.event}"

    def _judge(self, effect: events.Judge) -> events.Event | None:
        if self.judge is not None:
            verdict = self.judge(self, effect)
            return None if verdict is None else events.Judged(verdict)
        return events.Judged(self.verdict(effect))

    def verdict(self, effect: events.Judge) -> Verdict:
        """Return the policy's own verdict."""
        return self.policy.judge(Evidence(effect.stage, self.dialogue), self.phrases)

    def _open(self, effect: events.OpenBackend) -> events.Event | None:
        server = next((one for one in self.servers if one not in effect.tried), None)
        if server is None:
            return events.BackendFailed("none")
        if self.full:
            return events.BackendFailed("full")
        upstream = Upstream(server, self.settings.hostname)
        dialogue = SampleDialogue(self.profile, self.script, "192.0.2.1", self.record)
        self.backend = backend = Backend(upstream, dialogue)
        if self.refuse_connections:
            backend.alive = False
            backend.inbox.append(events.BackendClosed("refused"))
        else:
            self._actions(backend, dialogue.connected())
        return events.BackendOpened(upstream)

    def _look(self, effect: events.Look) -> events.Looked:
        octets, closed = b"", False
        backend = self.backend
        if backend is not None:
            while backend.inbox:
                event = backend.inbox.popleft()
                if isinstance(event, events.BackendBytes):
                    octets += event.octets
                else:
                    closed = True
        return events.Looked(octets, closed, effect.client and self.client_gone)

    def _actions(self, backend: Backend, actions: Sequence[object]) -> None:
        for action in actions:
            match action:
                case Send():
                    backend.inbox.append(events.BackendBytes(action.octets))
                case Close():
                    backend.alive = False
                    backend.inbox.append(events.BackendClosed("closed"))
                case Reset():
                    backend.alive = False
                    backend.inbox.append(events.BackendClosed("reset"))
                case Wait():
                    backend.timer = self.now + action.seconds
                case _:
                    pass

    # Questions

    @property
    def codes(self) -> list[int]:
        """Reply codes the client heard, in order."""
        lines = self.heard.split(b"\r\n")
        return [int(line[:3]) for line in lines if line[3:4] in (b" ", b"") and line[:3].isdigit()]

    def lines(self, event: LogEvent) -> list[Mapping[str, object]]:
        """Log lines of one kind."""
        return [fields for kind, fields in self.log if kind is event]

    @property
    def messages(self) -> list[Mapping[str, object]]:
        """All `message` lines."""
        return self.lines(LogEvent.MESSAGE)

    @property
    def to_backend(self) -> bytes:
        """All octets the relay handed to backend connections, in order."""
        return b"".join(connection.received for connection in self.record.connections)


def _split(keyword: str) -> tuple[str, str]:
    name, _, value = keyword.partition(" ")
    return name.upper(), value


def _to_backend(effect: events.Effect) -> bool:
    return isinstance(effect, events.Forward | events.ForwardKept | events.Commit | events.Look)
