"""What one listener and its backend ask of a relay, as plain data. The configuration is turned into this by the app."""

from dataclasses import dataclass
from enum import Enum

from smtproxy.session.limits import LIMITS, Limits
from smtproxy.wire.newlines import NewlineMode


class BodyMode(Enum):
    """How a body travels. DESIGN section 4, "The body"."""

    AUTO = "auto"
    """Collected in memory up to a bound before the backend hears DATA; streamed from there."""
    HOLD = "hold"
    """Kept whole (memory, then an unlinked file), judged, then sent."""
    STREAM = "stream"
    """Sent as it comes; only the end is held until the verdict."""


class OpenMode(Enum):
    """When the backend connection is opened."""

    RECIPIENT = "recipient"
    """With the first RCPT that passed policy; MAIL is answered by us."""
    MAIL = "mail"
    """With MAIL; the backend answers it."""
    CONNECT = "connect"
    """When the client connects; the backend answers MAIL."""


class Chunking(Enum):
    """When a body goes to the backend by BDAT, if the server offers CHUNKING. RFC 3030"""

    MIRROR = "mirror"
    """When it comes by BDAT."""
    ALWAYS = "always"
    """However it comes."""
    NEVER = "never"
    """Not at all."""

    @property
    def withholds(self) -> frozenset[str]:
        """EHLO keywords that cannot be offered under it, whatever the servers offer. RFC 3030 3"""
        return frozenset({"BINARYMIME"}) if self is Chunking.NEVER else frozenset()


class ClientTls(Enum):
    """How clients may protect their connection."""

    OFF = "off"
    STARTTLS = "starttls"
    """In the middle of the dialogue, if they ask for it. RFC 3207"""
    IMPLICIT = "implicit"
    """From the first octet on. RFC 8314 3"""


class BackendTls(Enum):
    """Whether the connections to a backend's servers are protected, by STARTTLS. RFC 3207"""

    OFF = "off"
    OPPORTUNISTIC = "opportunistic"
    """Where a server can; in clear text where it cannot. RFC 7435"""
    REQUIRE = "require"
    """Or no mail; whose certificate it is does not matter."""
    VERIFY = "verify"
    """Or no mail, and the certificate must name the server."""


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Settings of a relay. Times are seconds, sizes octets."""

    hostname: str
    listener: str = "mx"
    backend: str = "backend"
    """Their names, for the log."""
    body: BodyMode = BodyMode.AUTO
    newlines: NewlineMode | None = NewlineMode.NORMALISE
    """None: the duty `bare_newlines` is switched off, and bodies pass as they are."""
    max_message_size: int = 52428800
    max_recipients: int = 1000
    commit_by: float = 300.0
    """After the final dot no commit happens later than this. RFC 5321 4.5.3.2.6 gives the sender 10 minutes."""
    open: OpenMode = OpenMode.RECIPIENT
    lease: float = 10.0
    """A backend connection that has nothing to do for this long is given back."""
    chunking: Chunking = Chunking.MIRROR
    trace_header: bool = True
    client_tls: ClientTls = ClientTls.OFF
    banner_delay: float = 0.0
    """The banner is held back for this long, to see who talks before it."""
    authserv_id: str = ""
    """Our name in Authentication-Results: fields that bear it are taken out of what clients send; empty: none are."""
    contact: str = ""
    """Where a sender who was refused finds help; {session} stands for the id of the session."""
    soft_bounce: bool = False
    """No mail is refused for good by us."""
    limits: Limits = LIMITS
