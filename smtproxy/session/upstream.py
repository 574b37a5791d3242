"""One connection to a backend server, as a dialogue: greeting, EHLO with fallback to HELO, STARTTLS, paired replies.

Sans-IO. The relay uses it for mail, the pool for its probes. It never sends by itself: it returns octets, and its
owner decides when they leave. A connection whose dialogue went wrong is `broken` and must be closed, never repaired.
"""

from collections.abc import Iterator

from smtproxy.session.dialogue import Tls
from smtproxy.session.settings import BackendTls
from smtproxy.session.slots import Awaited, Pairing, Purpose, Slot
from smtproxy.wire.ehlo import HELO_ONLY, Capabilities, parse_ehlo
from smtproxy.wire.errors import PeerError
from smtproxy.wire.replies import Reply, ReplyReader
from smtproxy.wire.values import value

MISCONFIGURED = frozenset({500, 501, 502, 503, 504, 530, 538, 555})
"""Replies that blame our own dialogue, not the mail: they must not bounce anything. DESIGN section 4."""


@value
class Paired:
    """A reply and what it answers."""

    awaited: Awaited
    reply: Reply


@value
class Stray:
    """Octets nobody waits for: a reply too many, or something that is no reply. The connection is finished."""

    reply: Reply | None
    """None: it was no reply at all."""


class Upstream:
    """The state of one backend connection."""

    __slots__ = (
        "_extended",
        "_hostname",
        "_pairing",
        "_reader",
        "_security",
        "banner",
        "broken",
        "capabilities",
        "handshake",
        "messages",
        "ready",
        "refusal",
        "securing",
        "server",
        "tls",
        "worn",
    )

    def __init__(
        self, server: str, hostname: str, *, extended: bool = True, security: BackendTls = BackendTls.OFF
    ) -> None:
        """Start a dialogue with `server` (host:port) in which we call ourselves `hostname`; `extended`: try EHLO."""
        self.server = server
        self.capabilities: Capabilities = HELO_ONLY
        self.ready = False
        """Greeting and hello are over; the server can be given commands."""
        self.broken = ""
        """Why the connection cannot be used any more; empty: it can."""
        self.refusal: Reply | None = None
        """The reply that broke the opening."""
        self.banner = ""
        self.handshake = False
        """The server is ready for TLS: the handshake is its owner's to do, then `secured` goes on."""
        self.securing = False
        """STARTTLS was said, the hello under TLS is not answered yet: what breaks here may be the fault of TLS."""
        self.tls: Tls | None = None
        """What the handshake agreed on; None: clear text."""
        self.messages = 0
        """Messages it delivered."""
        self.worn = False
        """Something was refused or given up on it: it serves its session to the end, but no other one."""
        self._hostname = hostname
        self._extended = extended
        self._security = security
        self._reader = ReplyReader()
        self._pairing = Pairing()
        self._pairing.expect(Purpose.GREETING)

    @property
    def may_be_clear(self) -> bool:
        """Whether the connection may be one in clear text, if nothing better can be had."""
        return self._security in (BackendTls.OFF, BackendTls.OPPORTUNISTIC)

    @property
    def owes(self) -> int:
        """Number of replies still to come."""
        return len(self._pairing)

    @property
    def waiting_for(self) -> Purpose | None:
        """What the next reply will be for."""
        return self._pairing.next

    @property
    def unread(self) -> bool:
        """Octets have come that no command explains: a reply too many, or the start of one."""
        return self._reader.partial

    def expect(self, purpose: Purpose, slot: Slot | None = None) -> None:
        """Note that a command is being sent; its reply will be paired with `slot`."""
        self._pairing.expect(purpose, slot)

    def receive(self, octets: bytes) -> Iterator[Paired | Stray]:
        """Read octets of the backend: yield each reply with what it answers, in order. After a `Stray` nothing more."""
        self._reader.feed(octets)
        while True:
            try:
                reply = self._reader.next()
            except PeerError as error:
                self.broken = error.detail or "no SMTP reply"
                yield Stray(None)
                return
            if reply is None:
                return
            awaited = self._pairing.take()
            if awaited is None:
                self.broken = "a reply nobody waited for"
                yield Stray(reply)
                return
            yield Paired(awaited, reply)

    def opening(self, paired: Paired) -> bytes:
        """Take a reply of the opening; return the next command, nothing if `ready`, `broken`, or a `handshake` is due.

        RFC 5321 3.1, 3.2; RFC 3207 4
        """
        reply = paired.reply
        match paired.awaited.purpose:
            case Purpose.GREETING if reply.kind == 2:
                self.banner = reply.text
                return self._say(Purpose.EHLO if self._extended else Purpose.HELO)
            case Purpose.EHLO if reply.kind == 2:
                self.capabilities = parse_ehlo(reply)
                return self._greeted()
            case Purpose.EHLO if reply.code in (500, 501, 502, 504, 550):
                # RFC 5321 3.2: a server that knows no EHLO says one of these; then HELO, and no extension at all.
                return self._say(Purpose.HELO)
            case Purpose.HELO if reply.kind == 2:
                self.capabilities = HELO_ONLY
                return self._greeted()
            case Purpose.STARTTLS if reply.code == 220:
                self.handshake = True
                return b""
            case Purpose.STARTTLS if reply.kind in (4, 5) and reply.code != 421 and self.may_be_clear:
                # RFC 3207 4.1: the dialogue goes on as it was.
                return self._finish()
            case _:
                self.refusal = reply
                self.broken = f"{paired.awaited.purpose.value} refused"
                return b""

    def secured(self, tls: Tls) -> bytes:
        """Forget what was heard in clear text, the handshake is finished; return the next command. RFC 3207 4.2"""
        self.handshake = False
        self.tls = tls
        self.capabilities = HELO_ONLY
        self._reader = ReplyReader()
        return self._say(Purpose.EHLO if self._extended else Purpose.HELO)

    def _greeted(self) -> bytes:
        """Go on behind the hello: with STARTTLS where it is wanted and can be had. An attacker can hide that it can."""
        if self._security is BackendTls.OFF or self.tls is not None:
            return self._finish()
        if self.capabilities.has("STARTTLS"):
            self._pairing.expect(Purpose.STARTTLS)
            self.securing = True
            return b"STARTTLS\r\n"
        if self.may_be_clear:
            return self._finish()
        self.broken = "STARTTLS not offered"
        return b""

    def _finish(self) -> bytes:
        self.ready, self.securing = True, False
        return b""

    def _say(self, hello: Purpose) -> bytes:
        self._pairing.expect(hello)
        return f"{hello.value} {self._hostname}\r\n".encode()
