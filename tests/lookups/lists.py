"""A list of the DNS as its owner runs it, and as it goes wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field

from smtproxy.network.dns.answers import Answer, Status
from tests.network.dns.fakes import NOBODY, found

ZONE = "key1234.list.test"


def healthy(name: str) -> bool:
    """Tell whether a list has the test points that it must have. RFC 5782 5"""
    return name in ("2.0.0.127", "test")


@dataclass(slots=True)
class FakeList:
    """Its zone: what it lists, and what it does instead when it is not well."""

    listed: dict[str, str] = field(default_factory=dict)
    """By the name in front of the zone."""
    instead: Callable[[str], Answer] | None = None

    def __call__(self, name: str, kind: str) -> Answer:
        front, _, zone = name.partition(f".{ZONE}")
        if zone or not name.endswith(ZONE):
            return NOBODY
        if self.instead is not None:
            return self.instead(front)
        answer = self.listed.get(front, "127.0.0.2" if healthy(front) else "")
        return found(answer, ttl=600) if answer else NOBODY


def lists_the_world(_front: str) -> Answer:
    """Answer as if everything were listed."""
    return found("127.0.0.2", ttl=600)


def answers_an_error(_front: str) -> Answer:
    """Answer as Spamhaus does to open resolvers."""
    return found("127.255.255.254", ttl=60)


def parked(_front: str) -> Answer:
    """Answer as whoever bought the domain does."""
    return found("203.0.113.80", ttl=60)


def empty(_front: str) -> Answer:
    """Know nothing, as a list whose data are gone."""
    return NOBODY


def broken(_front: str) -> Answer:
    """Fail, as a list whose servers are gone."""
    return Answer(Status.SERVFAIL)
