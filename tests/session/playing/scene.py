"""A dialogue as data: how the proxy and the backend are set up, what each party says, and what the log tells of it.

A scene never holds code; `reading.py` makes it from a file, `memory.py` and `sockets.py` play it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from smtproxy.policy.judge import Policy
from smtproxy.sample.profile import Profile
from smtproxy.sample.script import Script
from smtproxy.session.settings import RelaySettings
from smtproxy.wire.ehlo import Capabilities


@dataclass(frozen=True, slots=True)
class Say:
    """The client sends octets; how they are cut is the player's matter."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Hear:
    """The client has heard these replies since the last time, and no others."""

    replies: tuple[str, ...]
    """Beginnings, up to a blank: "250 2.1.0". A reply of several lines has " / " between them."""
    closed: bool
    """And then the end of the connection."""


@dataclass(frozen=True, slots=True)
class Got:
    """A backend connection has got these commands since the last time, and no others."""

    connection: int
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nobody says anything for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Leave:
    """The client goes away: "close" (FIN, nothing is read any more), "reset" or "shutdown" (FIN, but it listens)."""

    how: str


Step: TypeAlias = Say | Hear | Got | Wait | Leave


@dataclass(frozen=True, slots=True)
class Scene:
    """One file."""

    name: str
    settings: RelaySettings
    policy: Policy
    profile: Profile
    script: Script
    servers: int
    promised: Capabilities | None
    """What clients are promised, where it is not what the backend offers now; None: no backend was ever reached."""
    refusing: bool
    """Nobody accepts connections where the backend should be."""
    disk: int
    """Octets of held bodies that fit on the disk."""
    one_piece: str
    """Why the client's talk is not cut; empty: it is."""
    in_memory: str
    """Why it is not played over sockets; empty: it is."""
    careless: bool
    """The backend may see what no correct client does, because it lies."""
    steps: tuple[Step, ...]
    mails: tuple[bytes, ...] | None
    """What the backend stored, without our trace header; None: not told."""
    traces: tuple[str, ...] | None
    """The first lines of their trace headers; None: not told."""
    log: Mapping[str, tuple[Mapping[str, object], ...]] = field(default_factory=dict)
    """Event -> its lines in order, each with the fields that are told."""
