"""What the sample backend's core wants done on its connection, as plain values.

`SampleDialogue` returns lists of these and a driver (the trio server, or a test that wires it to the relay in memory)
performs them in order. Nothing here may ever do anything: no sockets, no clock. `Close`, `Reset` and `StopReading` are
also steps of a script, with the same meaning.
"""

from dataclasses import dataclass
from typing import TypeAlias

from smtproxy.sample.record import Delivery


@dataclass(frozen=True, slots=True)
class Send:
    """Write these octets; one `Send` is meant as one segment."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Start the connection's only timer (seconds), in place of one that runs; call `timer()` when it is over.

    It is the last action of its list: whatever comes later is held back inside the dialogue until then.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Save:
    """Put this message on disk and say so with `saved()`; only asked for when the dialogue was made with `saving`."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection in order (FIN)."""


@dataclass(frozen=True, slots=True)
class Reset:
    """End the connection with RST: what the peer has not read yet is lost."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """Go on under TLS, as the server: the peer was told that it may begin the handshake. RFC 3207

    Only asked for where the profile says 220 to STARTTLS.
    """


@dataclass(frozen=True, slots=True)
class StopReading:
    """Read nothing more from the peer, so that its writes block; the connection stays open."""


Action: TypeAlias = Send | Wait | Save | StartTls | Close | Reset | StopReading
