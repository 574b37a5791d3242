"""A fake of the network: name servers as functions, on trio's clock. And a journal beside it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import trio

from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.exchange import Silence
from smtproxy.network.dns.packet import question
from smtproxy.network.dns.resolver import CachingResolver, DnsSettings
from smtproxy.network.sockets import Endpoint
from tests.fakes.journal import FakeJournal

ONE, TWO = Endpoint("192.0.2.1", 53), Endpoint("192.0.2.2", 53)
ROOT = question(".", "NS")
NOBODY = Answer(Status.NO_NAME, (), 60.0)


@dataclass(slots=True)
class FakeNetwork:
    """Zones by name and type; silent servers; how long an answer takes."""

    zone: dict[tuple[str, str], Answer] = field(default_factory=dict)
    silent: dict[Endpoint, Silence] = field(default_factory=dict)
    broken: set[Endpoint] = field(default_factory=set)
    """These answer SERVFAIL."""
    takes: float = 0.01
    otherwise: Callable[[str, str], Answer] = lambda _name, _kind: NOBODY
    asked: list[tuple[Endpoint, str, str]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def __call__(self, server: Endpoint, octets: bytes, patience: float) -> Answer | Silence:
        name, kind = read(octets)
        self.asked.append((server, name, kind))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            silence = self.silent.get(server)
            if silence is Silence.TIMEOUT or self.takes > patience:
                await trio.sleep(patience)
                return Silence.TIMEOUT
            await trio.sleep(self.takes)
            if silence is not None:
                return silence
            if server in self.broken:
                return Answer(Status.SERVFAIL)
            found = self.zone.get((name, kind))
            return self.otherwise(name, kind) if found is None else found
        finally:
            self.at_once -= 1

    def names(self) -> list[str]:
        """Return what was asked for, in order, probes of servers left out."""
        return [name for _, name, _ in self.asked if name != "."]


def read(octets: bytes) -> tuple[str, str]:
    """Read a question: the name and its type."""
    at, labels = 10, []
    while length := octets[at]:
        labels.append(octets[at + 1 : at + 1 + length].decode())
        at += 1 + length
    kinds = {1: "A", 2: "NS", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA"}
    return ".".join(labels) or ".", kinds[int.from_bytes(octets[at + 1 : at + 3], "big")]


def found(*records: str, ttl: float = 60.0) -> Answer:
    """Return a positive answer."""
    return Answer(Status.FOUND, records, ttl)


@dataclass(slots=True)
class Laboratory:
    """A resolver with everything around it."""

    resolver: CachingResolver
    network: FakeNetwork
    journal: FakeJournal
    nursery: trio.Nursery


@asynccontextmanager
async def laboratory(
    settings: DnsSettings | None = None, network: FakeNetwork | None = None
) -> AsyncIterator[Laboratory]:
    """Run a resolver; whatever runs in its background ends with the test."""
    settings, network, journal = settings or DnsSettings(), network or FakeNetwork(), FakeJournal()
    if not settings.servers:
        settings = replace(settings, servers=(ONE,))
    async with trio.open_nursery() as nursery:
        resolver = CachingResolver(settings, nursery, journal, network)
        yield Laboratory(resolver, network, journal, nursery)
        nursery.cancel_scope.cancel()
