"""The backend servers of a laboratory: the sample backend's core behind an inbox, without sockets and without a clock.

A connection never acts by itself: it takes what the relay wrote, and puts what the server did into its inbox, where it
lies until the relay reads it. `speak` and `vanish` are for what a server does unasked.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from smtproxy.sample.actions import Action, Close, Reset, Send, StartTls, Wait
from smtproxy.sample.dialogue import SampleDialogue
from smtproxy.sample.profile import Profile
from smtproxy.sample.record import BackendRecord
from smtproxy.sample.script import Script
from smtproxy.session.dialogue import Tls
from smtproxy.session.events import BackendBytes, BackendClosed, BackendNotSecured, BackendSecured
from smtproxy.session.settings import BackendTls
from smtproxy.session.upstream import Stray, Upstream

AGREED = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384")
"""What a handshake agrees on."""
SOURCE = "192.0.2.1"
"""The proxy's own address, as backends see it."""


@dataclass(slots=True)
class Line:
    """One connection to a backend server, both of its ends."""

    upstream: Upstream
    """The relay's end."""
    dialogue: SampleDialogue
    """The server's end."""
    inbox: deque[BackendBytes | BackendClosed | BackendSecured | BackendNotSecured] = field(default_factory=deque)
    """What the relay has not read yet."""
    shakes_hands: bool = False
    """The server waits for a handshake."""
    timer: float | None = None
    """When the server goes on by itself."""
    alive: bool = True
    """The server has not ended it."""

    def write(self, octets: bytes, now: float) -> None:
        """Take octets of the relay; a server that is gone does not get them."""
        if self.alive:
            self.perform(self.dialogue.feed(octets), now)

    def speak(self, octets: bytes) -> None:
        """The server says something that nobody asked for."""
        if self.alive:
            self.inbox.append(BackendBytes(octets))

    def vanish(self, how: str = "closed") -> None:
        """The server ends the connection; what it said before is lost after a reset only."""
        if self.alive:
            self.alive = False
            if how == "reset":
                self.inbox.clear()
            self.inbox.append(BackendClosed(how))
            self.dialogue.closed(reset=True)

    def secure(self) -> None:
        """The relay begins a handshake: it fails if the server is not there for it, or has spoken in clear text."""
        fails = not (self.alive and self.shakes_hands) or self.inbox
        self.inbox.clear()
        self.shakes_hands = False
        self.inbox.append(BackendNotSecured("the connection ended") if fails else BackendSecured(AGREED))

    def hang_up(self, farewell: bytes) -> None:
        """The relay closes the connection."""
        if self.alive:
            if farewell:
                self.dialogue.feed(farewell)
            self.dialogue.closed()
            self.alive = False

    def tick(self, now: float) -> None:
        """The server's timer is due."""
        self.timer = None
        self.perform(self.dialogue.timer(), now)

    def perform(self, actions: Sequence[Action], now: float) -> None:
        """Do what the server wants done."""
        for action in actions:
            match action:
                case Send():
                    self.inbox.append(BackendBytes(action.octets))
                case Close():
                    self.alive = False
                    self.inbox.append(BackendClosed("closed"))
                case Reset():
                    self.alive = False
                    self.inbox.append(BackendClosed("reset"))
                case StartTls():
                    self.shakes_hands = True
                case Wait():
                    self.timer = now + action.seconds
                case _:
                    pass


@dataclass(slots=True)
class Servers:
    """All servers of the backend: they share one record."""

    profile: Profile
    script: Script
    names: tuple[str, ...]
    hostname: str
    """What the proxy calls itself."""
    record: BackendRecord = field(default_factory=BackendRecord)
    full: bool = False
    """No place is left below max_connections."""
    refusing: bool = False
    """Nobody accepts connections."""
    security: BackendTls = BackendTls.OFF
    """How the proxy protects its connections."""
    clear: set[str] = field(default_factory=set)
    """Servers with which a handshake failed that had not to succeed."""
    keeps: int = 0
    """How many connections are kept warm."""
    warm: list[Line] = field(default_factory=list)
    """Those that are."""

    def connect(self, tried: frozenset[str], now: float, *, fresh: bool = False) -> Line | str:
        """Begin a connection to the first server that was not tried, or take a warm one; else say why there is none."""
        while self.warm and not fresh:
            line = self.warm.pop()
            if line.alive and line.upstream.server not in tried:
                return line
        name = next((one for one in self.names if one not in tried), None)
        if name is None:
            return "none"
        if self.full:
            return "full"
        security = BackendTls.OFF if name in self.clear else self.security
        upstream = Upstream(name, self.hostname, security=security)
        line = Line(upstream, SampleDialogue(self.profile, self.script, SOURCE, self.record))
        if self.refusing:
            line.vanish("refused")
        else:
            line.perform(line.dialogue.connected(), now)
        return line

    def keep(self, line: Line) -> bool:
        """Keep a connection warm, if there is room."""
        if len(self.warm) >= self.keeps or not line.alive or line.inbox:
            return False
        self.warm.append(line)
        return True

    def warm_up(self, now: float) -> None:
        """Have a warm connection, as after a session in which all went well."""
        line = self.connect(frozenset(), now, fresh=True)
        assert isinstance(line, Line)
        while not line.upstream.ready:
            event = line.inbox.popleft()
            assert isinstance(event, BackendBytes)
            for got in line.upstream.receive(event.octets):
                assert not isinstance(got, Stray)
                line.write(line.upstream.opening(got), now)
        line.upstream.messages = 1
        self.warm.append(line)

    def close(self) -> None:
        """Close what is kept warm."""
        for line in self.warm:
            line.hang_up(b"QUIT\r\n")
        self.warm.clear()
