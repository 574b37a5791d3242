"""The settings under which everything is enumerated: body mode x client x backend x `open`, and x framing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from itertools import product

from smtproxy.sample.profile import Profile
from smtproxy.sample.profiles import EXCHANGE, EXCHANGE_SERIAL
from smtproxy.session.limits import Limits
from smtproxy.session.settings import BackendTls, BodyMode, Chunking, ClientTls, OpenMode, RelaySettings
from smtproxy.wire.ehlo import Capabilities
from tests.fakes.laboratory import promised
from tests.session.enumeration.talk import Letter

HOSTNAME = "mx.example.org"
BODY_MEMORY = 400
"""Octets of a body that are kept in memory here: one piece of a large letter is larger."""
_LIMITS = Limits(body_memory=BODY_MEMORY, chunk=200, chunk_end=100)
_WHOLE = Limits(body_memory=BODY_MEMORY)
"""By BDAT a small letter leaves as one last chunk."""


class Body(Enum):
    """How a body travels, and where it is while it is judged."""

    AUTO_SMALL = (BodyMode.AUTO, False)
    AUTO_LARGE = (BodyMode.AUTO, True)
    HOLD_SMALL = (BodyMode.HOLD, False)
    HOLD_DISK = (BodyMode.HOLD, True)
    STREAM = (BodyMode.STREAM, True)

    @property
    def mode(self) -> BodyMode:
        """The setting `body`."""
        return self.value[0]

    @property
    def large(self) -> bool:
        """The body is larger than what may be kept in memory."""
        return self.value[1]

    @property
    def streams(self) -> bool:
        """The backend gets it before its dot was read."""
        return self in (Body.AUTO_LARGE, Body.STREAM)


class Backend(Enum):
    """What the backend connection of the session is like."""

    PIPELINING = "pipelining backend"
    SERIAL = "serial backend"
    """It does not offer PIPELINING."""
    WARM = "warm backend"
    """A connection that was kept warm by an earlier session, to a backend that offers PIPELINING."""
    SECURE = "backend under TLS"
    """It must be; the backend offers PIPELINING."""
    OPPORTUNISTIC = "backend under TLS if it can be had"


_SECURITY = {Backend.SECURE: BackendTls.REQUIRE, Backend.OPPORTUNISTIC: BackendTls.OPPORTUNISTIC}


class Framing(Enum):
    """How a body comes, and how it goes."""

    DATA = ("DATA", False, Chunking.MIRROR)
    BDAT = ("BDAT", True, Chunking.MIRROR)
    DATA_TO_BDAT = ("DATA to BDAT", False, Chunking.ALWAYS)
    BDAT_TO_DATA = ("BDAT to DATA", True, Chunking.NEVER)

    @property
    def chunks_in(self) -> bool:
        """The client uses BDAT."""
        return self.value[1]

    @property
    def chunks_out(self) -> bool:
        """The backend gets BDAT."""
        return self in (Framing.BDAT, Framing.DATA_TO_BDAT)


@dataclass(frozen=True)
class Configuration:
    """One way to run a session."""

    body: Body
    pipelined: bool
    """The client pipelines."""
    backend: Backend
    open: OpenMode
    secured: bool = False
    """The client asks for TLS."""
    framing: Framing = Framing.DATA

    @property
    def whole(self) -> bool:
        """The message leaves as one last chunk."""
        return self.framing.chunks_out and self.body is Body.AUTO_SMALL

    @property
    def pipelining(self) -> bool:
        """The backend offers PIPELINING."""
        return self.backend is not Backend.SERIAL

    @cached_property
    def settings(self) -> RelaySettings:
        """The relay's settings."""
        tls = ClientTls.STARTTLS if self.secured else ClientTls.OFF
        chunking: Chunking = self.framing.value[2]
        limits = _WHOLE if self.whole else _LIMITS
        return RelaySettings(
            HOSTNAME, body=self.body.mode, open=self.open, client_tls=tls, chunking=chunking, limits=limits
        )

    @property
    def security(self) -> BackendTls:
        """How connections to the backend are protected."""
        return _SECURITY.get(self.backend, BackendTls.OFF)

    @cached_property
    def profile(self) -> Profile:
        """The backend: Exchange, whose replies here name the address they are about."""
        profile = EXCHANGE if self.pipelining else EXCHANGE_SERIAL
        mail, rcpt = "250 2.1.0 <{address}> Sender OK", "250 2.1.5 <{address}> Recipient OK"
        starttls = "220 2.0.0 SMTP server ready" if self.backend in _SECURITY else profile.texts.starttls
        return replace(profile, texts=replace(profile.texts, mail=mail, rcpt=rcpt, starttls=starttls))

    @cached_property
    def offered(self) -> Capabilities:
        """What clients are promised."""
        return promised(self.profile, self.settings)

    @cached_property
    def letters(self) -> tuple[Letter, Letter]:
        """The two letters of the session: faults strike during the first, the second must not suffer from that."""
        return _letter(1, self.body, self.framing, pieces=3), _letter(2, self.body, self.framing, pieces=1)

    def __str__(self) -> str:
        client = "pipelining client" if self.pipelined else "serial client"
        client += " under TLS" if self.secured else ""
        framing = "" if self.framing is Framing.DATA else f", {self.framing.value[0]}"
        return f"{self.body.name.lower()}, {client}, {self.backend.value}, open={self.open.value}{framing}"


def configurations() -> Iterator[Configuration]:
    """Yield all of them. A warm connection is met in one mode only: how it was opened is forgotten by then.

    TLS is met with small bodies only: behind the second hello it changes nothing but the octets on the wire. What was
    opened before a client's STARTTLS is closed by it: one opened at connect is then like one opened with MAIL.
    How a body is framed changes nothing before it: other framings than DATA are met with one backend and one mode.
    """
    for body, pipelined, backend, opening in product(Body, (False, True), Backend, OpenMode):
        if backend is Backend.WARM and opening is not OpenMode.RECIPIENT:
            continue
        if backend in _SECURITY and body is not Body.AUTO_SMALL:
            continue
        yield Configuration(body, pipelined, backend, opening)
        if body is Body.AUTO_SMALL and backend is Backend.PIPELINING and opening is not OpenMode.CONNECT:
            yield Configuration(body, pipelined, backend, opening, secured=True)
    for framing, body, pipelined in product(Framing, Body, (False, True)):
        if framing is not Framing.DATA:
            yield Configuration(body, pipelined, Backend.PIPELINING, OpenMode.RECIPIENT, framing=framing)


def _letter(number: int, body: Body, framing: Framing, pieces: int) -> Letter:
    """A letter with a body of its own; of three pieces, one ends inside a newline, one before a dot."""
    filler = f"Line of letter {number}, long enough to fill some of the room there is.\r\n" * (8 if body.large else 1)
    head = f"Message-ID: <letter-{number}@client.example>\r\nX-Letter: {number}\r\n\r\n"
    plain = f"{head}{filler}.\r\n.hidden\r\n{filler}.two dots\r\nEnd of letter {number}.\r\n".encode()
    stuffed = plain.replace(b"\r\n.", b"\r\n..")
    text, arrives = plain if framing.chunks_in else stuffed, plain if framing.chunks_out else stuffed
    first, second = text.index(b"hidden\r") + len(b"hidden\r"), text.index(b"two")
    second = text.rindex(b"\n", 0, second) + 1
    parts = (text[:first], text[first:second], text[second:]) if pieces > 1 else (text,)
    recipients = (f"one-{number}@example.org", f"two-{number}@example.org")
    return Letter(number, f"sender-{number}@client.example", recipients, parts, arrives, framing.chunks_in)
