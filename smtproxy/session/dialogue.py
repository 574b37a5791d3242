"""The facts that the dialogue with the client itself shows. Owned by the relay, read by the policy."""

from dataclasses import dataclass

from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.verdicts import Stage
from smtproxy.wire.values import value


@value
class Hello:
    """What the client called itself."""

    verb: str
    """EHLO or HELO."""
    name: str
    """As sent, decoded as Latin-1, at most as long as a command line; empty for a bare EHLO."""


@value
class Tls:
    """What a TLS handshake has agreed on, in OpenSSL's words."""

    version: str
    """As "TLSv1.3"."""
    cipher: str


@value
class MessageFacts:
    """What is known of a message when its final dot has been read."""

    size: int
    """Octets between DATA and the final dot as the client sent them, its dot-stuffing included; by BDAT, those of all
    chunks."""
    bare_newlines: bool
    dot_line: bool
    """A bare newline touches a line made of dots alone."""
    received: int
    message_id: str | None


@dataclass(slots=True)
class Dialogue:
    """One session as seen so far."""

    session: str
    """Session id."""
    client: str
    """Address of the client; empty: its balancer did not say."""
    port: int = 0
    now: float = 0.0
    """Seconds on the clock of the events; not the time of day."""
    tls: Tls | None = None
    """None: the client speaks in clear text."""
    proxy: str = ""
    """Address of the balancer it came through (PROXY protocol); empty: none."""
    good: bool = False
    """It had a good record when it came, or is exempt from every judgement."""
    hurried: bool = False
    """We had too much to do at its last error, and it has no good record: less is put up with."""
    early: tuple[Stage, ...] = ()
    """Before which replies it talked: connection, last hello, DATA of this transaction. RFC 5321 4.3.1"""
    foreign: str = ""
    """The protocol it speaks instead of SMTP: HTTP or TLS; empty: none that we know."""
    hello: Hello | None = None
    hello_names: int = 0
    """Names it has called itself by, one after the other; what it said before TLS is forgotten (RFC 3207 4.2)."""
    envelope: Envelope | None = None
    recipient: Recipient | None = None
    """The recipient being judged."""
    message: MessageFacts | None = None
    declared_size: int | None = None
    """SIZE= of the MAIL command. RFC 1870"""
    errors: int = 0
    """Protocol errors of the client."""
    junk: int = 0
    """Commands without use since the last mail."""
    commands: int = 0
    """Commands read."""
    chunks: int = 0
    """Of these, BDAT commands that brought more octets than a command line may have."""
    transactions: int = 0
    """MAIL commands understood."""
    delivered: int = 0
    """Messages the backend accepted."""
    recipients: int = 0
    """RCPT commands."""
    recipients_over: int = 0
    """RCPT commands above the listener's limit."""
    refused: int = 0
    """Answers of 4xx and 5xx."""
    octets_in: int = 0
    octets_out: int = 0

    def talked(self, stage: Stage, *, early: bool) -> None:
        """Note whether it talked before the reply that is due."""
        others = tuple(one for one in self.early if one is not stage)
        self.early = (*others, stage) if early else others
