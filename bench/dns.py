"""What a question to the DNS costs: `python -m bench.dns` prints µs of CPU, of our resolver and dnspython's in one run.

The questions are those of a block list that has nobody ("no such name"), each another one, ten in flight; nsd answers
on loopback, and its CPU is not counted. Besides: an answer from memory, and the memory of a full cache.
"""

import gc
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import dns.asyncresolver
import dns.resolver
import trio

from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.cache import Cache
from smtproxy.network.dns.resolver import CachingResolver, DnsSettings
from smtproxy.network.sockets import Endpoint
from tests.end_to_end.programs.name_servers import Nsd
from tests.end_to_end.programs.process import HOST
from tests.fakes.journal import FakeJournal

ZONE = "list.test"
ROUNDS = 5
AT_ONCE = 10
QUESTIONS = 2000
"""Of one round; dnspython gets a fifth of them."""
HITS = 20_000


@dataclass(frozen=True, slots=True)
class Costs:
    """µs of CPU each, medians; and octets."""

    ours: float
    dnspython: float
    remembered: float
    entries: int
    octets: int
    """That tracemalloc sees, of a full cache."""
    counted: int
    """That the cache says it has."""


async def _cost(ask: Callable[[str], Awaitable[None]], questions: int, tag: str) -> float:
    async def some(worker: int) -> None:
        for number in range(questions // AT_ONCE):
            await ask(f"{number % 250}.{number // 250}.{worker}.{tag}.{ZONE}")

    begin = time.process_time()
    async with trio.open_nursery() as nursery:
        for worker in range(AT_ONCE):
            nursery.start_soon(some, worker)
    return (time.process_time() - begin) / questions * 1e6


async def _measure(port: int, rounds: int, questions: int) -> tuple[float, float, float]:
    theirs = dns.asyncresolver.Resolver(configure=False)
    theirs.nameservers, theirs.port = [HOST], port

    async def ask_theirs(name: str) -> None:
        try:
            await theirs.resolve(name, "A", search=False)
        except dns.resolver.NXDOMAIN:
            return
        raise RuntimeError(f"{name} is there")

    async with trio.open_nursery() as nursery:
        ours = CachingResolver(DnsSettings((Endpoint(HOST, port),)), nursery, FakeJournal())

        async def ask_ours(name: str) -> None:
            if (await ours.ask(name, "A")).status is not Status.NO_NAME:
                raise RuntimeError(f"{name} is there")

        pairs = [
            (await _cost(ask_ours, questions, f"o{turn}"), await _cost(ask_theirs, questions // 5, f"t{turn}"))
            for turn in range(rounds)
        ]
        begin = time.process_time()
        for _ in range(HITS):
            await ask_ours(f"1.0.1.o{rounds - 1}.{ZONE}")
        remembered = (time.process_time() - begin) / HITS * 1e6
        nursery.cancel_scope.cancel()
    return median(one for one, _ in pairs), median(one for _, one in pairs), remembered


def _full_cache() -> tuple[int, int, int]:
    settings = DnsSettings()
    cache = Cache(settings.cache_entries, settings.cache_memory)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(settings.cache_entries + 1000):
        name = f"{number % 250}.{number // 250}.0.192.dnsbl.example.org"
        cache.put((name, "A"), Answer(Status.NO_NAME, (), 60.0 + number, 1.0 + number), 100.0 + number)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return len(cache), taken, cache.octets


def measure(rounds: int = ROUNDS, questions: int = QUESTIONS) -> Costs:
    """Measure all of it, with a name server of our own."""
    with tempfile.TemporaryDirectory() as name, Nsd(Path(name), {ZONE: "2.0.0.127 A 127.0.0.2\n"}) as server:
        costs = trio.run(_measure, server.port, rounds, questions)
    return Costs(*costs, *_full_cache())


def main() -> int:
    """Print the table."""
    found = measure()
    print(f"| uncached, no such name: our resolver        | {found.ours:7.1f} µs |")
    print(f"| the same: dns.asyncresolver of dnspython    | {found.dnspython:7.1f} µs |")
    print(f"| an answer from memory                       | {found.remembered:7.1f} µs |")
    print(f"| a full cache, {found.entries} negative answers      | {found.octets / 2**20:7.1f} MiB |")
    print(f"| the same, as the cache counts it            | {found.counted / 2**20:7.1f} MiB |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
