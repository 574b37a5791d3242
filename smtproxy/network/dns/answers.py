"""An answer of the DNS as a value: failure is one, too, and nothing is raised into several tasks at once."""

from dataclasses import field
from enum import Enum
from typing import Protocol

from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.values import value


@hashed_by_identity
class Status(Enum):
    """How a question ended."""

    FOUND = "found"
    NO_DATA = "nodata"
    """The name exists, without records of this type. RFC 2308 2.2"""
    NO_NAME = "nxdomain"
    """The name does not exist. RFC 2308 2.1, RFC 8020"""
    SERVFAIL = "servfail"
    """Or any other response code that is none of the above."""
    TIMEOUT = "timeout"
    DOWN = "dns_down"
    """No name server is in working order: nobody was asked."""
    BUDGET = "budget"
    """The session has asked too much."""
    INVALID = "invalid"
    """The name cannot be asked for: a label or the whole is too long, or empty."""

    @property
    def known(self) -> bool:
        """Whether the DNS has said something: all else is Unknown."""
        return self in _KNOWN


_KNOWN = frozenset({Status.FOUND, Status.NO_DATA, Status.NO_NAME})


@value
class Answer:
    """What became of one question."""

    status: Status
    records: tuple[str, ...] = ()
    """In order. Names in lower case without a final dot ("." is "."); MX as "10 mail.example.org"; TXT with the
    strings of a record joined, as Latin-1."""
    ttl: float = 0.0
    """Seconds it may be kept."""
    at: float = field(default=0.0, compare=False)
    """When it came, on trio's clock."""


class Resolver(Protocol):
    """Whoever answers questions."""

    async def ask(self, name: str, kind: str) -> Answer:
        """Ask for records of a type ("A", "MX", "TXT" ...). Never raises, but `NotAtHand` in the quick way.

        It ends by its own deadline.
        """
