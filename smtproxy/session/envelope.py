"""The envelope of one transaction, which can replay itself. The backend's transaction is only a copy of it.

Lease, failover, a connection that died between commands: all rebuild the backend's transaction from here, and only
recipients that a backend has already accepted are replayed.
"""

from dataclasses import dataclass, field

from smtproxy.wire.commands import Parameters, compose_mail, compose_rcpt
from smtproxy.wire.ehlo import required
from smtproxy.wire.paths import Path
from smtproxy.wire.replies import NO_SUCH_USER, Reply


@dataclass(slots=True)
class Recipient:
    """One RCPT: the path, and what became of it."""

    path: Path
    parameters: Parameters = ()
    reply: Reply | None = None
    """What the client heard, or will hear."""
    by: str = ""
    """Whose reply that was: backend, protocol, or the name of a check."""

    @property
    def accepted(self) -> bool:
        """Whether a backend itself said 2xx."""
        return self.by == "backend" and self.reply is not None and self.reply.kind == 2

    @property
    def refused(self) -> bool:
        """Whether it was refused for good."""
        return self.reply is not None and self.reply.kind == 5

    @property
    def unknown(self) -> bool:
        """Whether it was refused as somebody who does not exist."""
        return self.reply is not None and self.reply.enhanced in NO_SUCH_USER


@dataclass(slots=True)
class Envelope:
    """Sender and recipients of one transaction."""

    sender: Path
    parameters: Parameters = ()
    recipients: list[Recipient] = field(default_factory=list)
    sender_reply: Reply | None = None
    """What the backend's refusal of MAIL means to the client: it answers this and each later RCPT."""
    sender_by: str = ""
    """Whose words that is."""
    may_chunk: bool = False
    """The server that was given it last offers CHUNKING."""
    chunked: bool = False
    """Its body goes by BDAT, to whichever server: it has no dots doubled, so it must not be ended by one."""
    _accepted: int = 0

    def count(self, recipient: Recipient) -> None:
        """Note the fate of a recipient that has just been answered."""
        if recipient.accepted:
            self._accepted += 1

    def forget(self, recipient: Recipient) -> None:
        """The answer of a recipient turned out not to be trusted."""
        if recipient.accepted:
            self._accepted -= 1
        recipient.reply, recipient.by = None, ""

    @property
    def accepted(self) -> int:
        """Number of recipients a backend accepted."""
        return self._accepted

    @property
    def utf8(self) -> bool:
        """Whether the client asked for SMTPUTF8. RFC 6531 3.4"""
        return any(keyword == "SMTPUTF8" for keyword, _ in self.parameters)

    @property
    def binary(self) -> bool:
        """Whether the client asked for BODY=BINARYMIME. RFC 3030 3"""
        return any(keyword == "BODY" and value and value.upper() == "BINARYMIME" for keyword, value in self.parameters)

    @property
    def requires(self) -> frozenset[str]:
        """EHLO keywords that a server must offer to get this envelope; nothing is ever stripped from it."""
        keywords = required(self.parameters)
        if self.chunked:
            keywords |= {"CHUNKING"}
        for recipient in self.recipients:
            if recipient.parameters:
                keywords |= required(recipient.parameters)
        return keywords

    def mail(self) -> bytes:
        """Return MAIL in its canonical spelling."""
        return compose_mail(self.sender, self.parameters)

    def replay(self) -> list[bytes]:
        """Return the RCPT commands of all recipients that a backend has accepted."""
        return [compose_rcpt(one.path, one.parameters) for one in self.recipients if one.accepted]
