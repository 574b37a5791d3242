"""`./do bench flood`: what an honest sender feels while bots flood the server, beside Postfix and postscreen.

Each server in turn: an honest sender alone, one connection after the other with a whole mail of 4 KiB; thousands of
bots that stay (`flood_client.py`); then the same sender while more bots come, at 0.7 of the rate at which refused
sessions fill smtproxy's one worker. That rate is measured first, and all servers get the same flood. At last smtproxy
with as many bots as it can take, without a bar. The backend has to see the honest sender alone.

The bar: with the flood, 99 of 100 deliveries take at most twice as long as without, or 50 ms if that is more.
"""

import argparse
import logging
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bench import client, machine, table
from bench.flood_client import STAY, FloodClient, Seen
from bench.idle import SPARE
from bench.meter import core_seconds, cpu_seconds, memory_kib
from bench.peers import AUTO, Pinning, pinning
from bench.sink import Sink
from tests.end_to_end.programs.postfix import Postfix
from tests.end_to_end.programs.process import HOST, ProgramError
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

_log = logging.getLogger("bench.flood")

PART = 0.7
"""Of the rate at which refused sessions fill the worker."""
OCTETS = 4096
SURELY = 50.0
"""Milliseconds that a delivery may take in any case."""
AT_ONCE = 64
"""Bots that come at the same time while the rate is measured."""
RECIPIENT = "friend@example.org"
SMTPD = "Postfix smtpd"
POSTSCREEN = "Postfix postscreen"

_ANVIL = {
    "smtpd_client_connection_count_limit": "50",
    "smtpd_client_connection_rate_limit": "60",
    "smtpd_client_event_limit_exceptions": HOST,
}
"""Fifty connections at once are Postfix's default; a rate is what those who limit it set. The honest one is exempt."""
_SCREEN = {
    "postscreen_greet_action": "enforce",
    "postscreen_pre_queue_limit": "20000",
    "postscreen_access_list": "",
    "postscreen_cache_map": "btree:$data_directory/postscreen_cache",
    "postscreen_upstream_proxy_protocol": "",
}
"""It is to hold as many as come. The honest sender passes its test once, as a known one does."""
_PROCESSES = 100
"""Postfix's default_process_limit."""
_MORE = """\
[tarpit]
delay = "{delay:g}s"
max_total = {held}
{stutter}[checks.hello]
action = "tarpit"
[checks.sender_domain]
action = "off"
[checks.spf]
action = "off"
[checks.dmarc]
action = "off"
"""

Server: TypeAlias = "Postfix | Smtproxy"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    held: int = 5000
    deliveries: int = 1000
    seconds: float = 20.0
    """Of each measurement."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """Parts of the server's core."""

    server: float
    others: float


@dataclass(frozen=True, slots=True)
class Row:
    """What one server did."""

    name: str
    alone: client.Sessions
    flooded: client.Sessions
    held: int
    kib: float
    """Proportional memory of a bot that stays."""
    quiet: float
    """CPU while they stay and nobody else is there, as a part of a core."""
    busy: float
    """CPU under the flood, the same."""
    others: float
    """What other programs of the machine took of the server's core meanwhile: the run is disturbed by so much."""
    seen: Seen
    strangers: int
    """MAIL commands at the backend that nobody honest has caused."""

    @property
    def bar(self) -> float:
        """Milliseconds that 99 of 100 deliveries may take."""
        return max(SURELY, 2 * self.alone.percentile(99))

    @property
    def met(self) -> bool:
        """Whether the honest sender is served as is promised, and the backend saw nobody else."""
        served = bool(self.flooded.times) and not self.flooded.failed
        return served and self.flooded.percentile(99) <= self.bar and not self.strangers and not self.seen.accepted

    def cells(self) -> list[str]:
        """Return the row."""
        seen, seconds = self.seen, self.seen.seconds or 1.0
        return [
            self.name,
            _times(self.alone),
            _times(self.flooded),
            f"{self.held}",
            f"{self.kib:.1f}",
            f"{self.quiet:.0%}",
            f"{seen.refused / seconds:.0f}, {(seen.turned_away + seen.unserved) / seconds:.0f}",
            f"{self.busy:.0%}",
            f"{self.others:.0%}",
            f"{seen.cpu / seconds:.0%}, {seen.late}",
            f"{self.strangers}",
        ]


HEAD = [
    "server",
    "alone, p50 / p99 (n)",
    "flooded, p50 / p99 (n)",
    "held",
    "KiB each",
    "CPU, held",
    "bots/s refused, not served",
    "CPU, flooded",
    "others on its core",
    "CPU of the flood, late",
    "strangers at the backend",
]


def _times(sessions: client.Sessions) -> str:
    failed = f", {sessions.failed} failed" if sessions.failed else ""
    if not sessions.times:
        return f"none{failed}"
    return f"{sessions.percentile(50):.1f} / {sessions.percentile(99):.1f} ms ({len(sessions.times)}{failed})"


def _smtproxy(*, stutter: bool) -> Callable[[Path, int, Pinning, Sizes], Server]:
    def start(directory: Path, backend: int, pins: Pinning, sizes: Sizes) -> Server:
        # Twice as many: those that leave linger for a moment while others come.
        more = _MORE.format(delay=STAY, held=2 * sizes.held, stutter="stutter = true\n" if stutter else "")
        top = "default_exemptions = false\n"
        return Smtproxy(directory, Plan([f"{HOST}:{backend}"], top=top, more=more), cores=pins.proxy)

    return start


def _postfix(*, screened: bool) -> Callable[[Path, int, Pinning, Sizes], Server]:
    def start(directory: Path, backend: int, pins: Pinning, _sizes: Sizes) -> Server:
        return Postfix(
            directory,
            proxy_to=backend,
            cores=pins.proxy,
            processes=_PROCESSES,
            screened=screened,
            settings=_ANVIL | (_SCREEN if screened else {}),
        )

    return start


SERVERS: dict[str, Callable[[Path, int, Pinning, Sizes], Server]] = {
    AUTO: _smtproxy(stutter=False),
    SMTPD: _postfix(screened=False),
    POSTSCREEN: _postfix(screened=True),
}


class Bench:
    """One run."""

    def __init__(self, directory: Path, pins: Pinning, sizes: Sizes) -> None:
        """Nothing is started yet."""
        self._directory, self._pins, self._sizes = directory, pins, sizes
        self.saturated = 0.0
        """Refused sessions a second that fill the worker."""

    def saturate(self) -> str:
        """Measure the rate; return a line about it."""
        place = self._directory / "saturated"
        with (
            Sink(place / "sink", self._pins.load) as sink,
            SERVERS[AUTO](place / "server", sink.port, self._pins, self._sizes) as server,
        ):
            seen, cpu, _ = self._flood(place, server, at_once=AT_ONCE)
        self.saturated = seen.refused / seen.seconds
        own = seen.cpu / seen.seconds
        return (
            f"a worker refuses {self.saturated:.0f} sessions/s with {cpu.server:.0%} of a core (others on its core "
            f"{cpu.others:.0%}; the flood {own:.0%} of another one): {self.saturated / cpu.server:.0f} for a whole one"
        )

    def row(self, name: str, start: str, *, at_once: int = 0) -> Row:
        """Measure one server; with `at_once` the flood is as many bots as it takes."""
        _log.info("%s", name)
        place, sizes, pins = self._directory / name.replace(" ", "-"), self._sizes, self._pins
        with (
            Sink(place / "sink", pins.load) as sink,
            SERVERS[start](place / "server", sink.port, pins, sizes) as server,
        ):
            self._honest(server, 1)  # known from here on: postscreen tests nobody twice
            mails = sink.counts().mails
            honest = self._honest(server, sizes.deliveries)
            before = memory_kib(server.pid)
            with FloodClient(place / "held", server.port, held=sizes.held, cores=pins.load) as held:
                kib = (memory_kib(server.pid) - before) / sizes.held
                spent, began = cpu_seconds(server.pid), time.monotonic()
                time.sleep(2)
                quiet = (cpu_seconds(server.pid) - spent) / (time.monotonic() - began)
                rate = 0.0 if at_once else PART * self.saturated
                seen, cpu, flooded = self._flood(place, server, rate=rate, at_once=at_once, honest=True)
                stayed = held.over().staying
            mails = sink.counts().mails - mails
        strangers = max(0, mails - len(honest.times) - len(flooded.times) - honest.failed - flooded.failed)
        return Row(name, honest, flooded, stayed, kib, quiet, cpu.server, cpu.others, seen, strangers)

    def _honest(self, server: Server, deliveries: int) -> client.Sessions:
        return client.run_within(
            server.port, deliveries, OCTETS, RECIPIENT, self._pins.load, seconds=self._sizes.seconds
        )

    def _flood(
        self, place: Path, server: Server, *, rate: float = 0.0, at_once: int = 0, honest: bool = False
    ) -> tuple[Seen, Cpu, client.Sessions]:
        """Return what the flood saw, what CPU was used, and the deliveries meanwhile."""
        pins, times = self._pins, client.Sessions([], 0)
        with FloodClient(place, server.port, held=0, rate=rate, at_once=at_once, cores=pins.load) as flood:
            spent, whole, began = cpu_seconds(server.pid), core_seconds(pins.proxy), time.monotonic()
            if honest:
                times = self._honest(server, sys.maxsize)
            else:
                time.sleep(self._sizes.seconds / 2)
            passed = time.monotonic() - began
            own = (cpu_seconds(server.pid) - spent) / passed
            return flood.over(), Cpu(own, (core_seconds(pins.proxy) - whole) / passed - own), times


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit status 1: something broke, 3: the bar was not met."""
    parser = argparse.ArgumentParser(prog="bench flood", description=__doc__)
    parser.add_argument("--held", type=int, default=Sizes().held, help="bots that stay")
    parser.add_argument("--seconds", type=float, default=Sizes().seconds, help="of each measurement")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < asked.held + SPARE:
        print(f"{asked.held} bots need {asked.held + SPARE} descriptors, {hard} are allowed: ulimit -Hn, or --held")
        return 1
    pins = pinning()
    print("\n".join(f"* {line}" for line in machine.describe(pins)))
    print(f"* load average before {machine.load_average()}")
    rows: list[Row] = []
    broken: list[str] = []
    with tempfile.TemporaryDirectory(prefix="smtproxy-flood-") as name:
        bench = Bench(Path(name), pins, Sizes(held=asked.held, seconds=asked.seconds))
        print(f"* {bench.saturate()}; the flood is {PART:g} of that")
        for server in SERVERS:
            try:
                rows.append(bench.row(server, server))
            except ProgramError as error:
                broken.append(f"{server}: {error}")
        rows.append(bench.row(f"{AUTO}, saturated", AUTO, at_once=AT_ONCE))
    print(f"* load average after {machine.load_average()}")
    print("".join(f"* BROKEN: {what}\n" for what in broken))
    print(table.markdown([HEAD, *(row.cells() for row in rows)]))
    ours = rows[0]
    print(f"* {'met' if ours.met else 'NOT MET'}: p99 within {ours.bar:.0f} ms, and nobody else at the backend")
    return 1 if broken else 0 if ours.met else 3


if __name__ == "__main__":
    sys.exit(main())
