"""What is measured: each scenario runs its peers one after the other with the same load, alternating the order.

CPU is that of the proxy's process tree alone. A run in which a single mail failed must give no value, only a line in
`broken`.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from bench import idle, peers
from bench.client import run_apart
from bench.meter import settled_cpu_seconds
from bench.peers import AUTO, DIRECT, HAPROXY, HOLD, POSTFIX, STREAM, Field, Peer, Pinning
from bench.results import Results
from bench.sink import Sink
from tests.end_to_end.programs.process import ProgramError
from tests.end_to_end.programs.smtp_source import Load, send

RATE: Final = "messages/s"
CPU_NEW: Final = "CPU ms a message, new connection"
CPU_SAME: Final = "CPU ms a message, same connection"
P50: Final = "p50 ms"
P99: Final = "p99 ms"
CPU_BODY: Final = "CPU ms per MB"
CPU_REFUSED: Final = "CPU ms a refused session"
CPU_DELIVERED: Final = "CPU ms a delivered session"
REFUSED_CONNECTIONS: Final = "backend connections"
REFUSED_PROBES: Final = "probes meanwhile"
IDLE_KIB: Final = "KiB an idle client"
IDLE_ANSWERED: Final = "idle clients answered"
IDLE_CPU: Final = "idle CPU"

MIB: Final = 1024 * 1024
MB: Final = 1e6
SESSIONS: Final = 20
SMALL: Final = 4096
BIG: Final = 10 * MIB
OURS: Final = "client@example.org"
FOREIGN: Final = "client@foreign.example.com"
POSTFIX_IDLE: Final = 1000
"""Postfix has a process for each client: five thousand would take 6 GB."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each load. The ordinary figures make about a second of work for the proxy, `--quick` far less."""

    rounds: int = 3
    messages: int = 3000
    same_messages: int = 4000
    sessions: int = 400
    bodies: int = 40
    idle: tuple[int, ...] = (1000, 5000)


@dataclass(slots=True)
class Bench:
    """One run of everything."""

    directory: Path
    pins: Pinning
    sizes: Sizes
    results: Results = field(default_factory=Results)
    missing: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def _attempt(self, what: str, action: Callable[[], None]) -> None:
        """Run one measurement; note what went wrong and go on with the next."""
        log.info("%s", what)
        try:
            action()
        except (ProgramError, OSError) as error:
            self.broken.append(f"{what}: {error}")
            log.warning("%s: %s", what, error)

    def _in_turn(self, running: Field, names: Iterable[str], turn: int) -> list[Peer]:
        present = [running.peers[name] for name in names if name in running.peers]
        return present if turn % 2 == 0 else present[::-1]

    def _load(self, peer: Peer, load: Load) -> tuple[float, float]:
        """Send a load; return wall-clock seconds and CPU seconds of the peer."""
        before = settled_cpu_seconds(peer.pid) if peer.pid else 0.0
        outcome = send(load, peer.port, patience=600, cores=self.pins.load)
        if not outcome.clean:
            raise ProgramError(f"smtp-source: status {outcome.status}, {outcome.failures[:3]}")
        return outcome.seconds, settled_cpu_seconds(peer.pid) - before if peer.pid else 0.0

    def speed(self, sink_port: int) -> None:
        """Small messages, one session at a time, and big bodies, in rounds."""
        with ExitStack() as stack:
            running = peers.start(list(peers.STARTS), self.directory / "speed", sink_port, self.pins, stack)
            self.missing |= running.missing
            small = [DIRECT, POSTFIX, HAPROXY, AUTO]
            for peer in running.peers.values():
                self._attempt(f"warm-up: {peer.name}", partial(self._warm, peer))
            for turn in range(self.sizes.rounds):
                steps: list[tuple[str, list[str], Callable[[Peer, int], None]]] = [
                    ("new connections", small, self._new_connections),
                    ("same connection", small, self._same_connection),
                    ("one session", small, self._one_session),
                    ("10 MiB bodies", [POSTFIX, HAPROXY, AUTO, STREAM, HOLD], self._bodies),
                ]
                for what, names, step in steps:
                    for peer in self._in_turn(running, names, turn):
                        self._attempt(
                            f"round {turn + 1}: {what}: {peer.name}",
                            partial(step, peer, turn),
                        )

    def _warm(self, peer: Peer) -> None:
        self._load(peer, Load(messages=300, sessions=SESSIONS))
        self._load(peer, Load(messages=2, octets=BIG))

    def _new_connections(self, peer: Peer, turn: int) -> None:
        seconds, cpu = self._load(peer, Load(messages=self.sizes.messages, sessions=SESSIONS, octets=SMALL))
        self.results.put(RATE, peer.name, self.sizes.messages / seconds, turn)
        if peer.pid:
            self.results.put(CPU_NEW, peer.name, cpu * 1000 / self.sizes.messages, turn)

    def _same_connection(self, peer: Peer, turn: int) -> None:
        messages = self.sizes.same_messages
        load = Load(messages=messages, sessions=SESSIONS, octets=SMALL, same_connection=True)
        _, cpu = self._load(peer, load)
        if peer.pid:
            self.results.put(CPU_SAME, peer.name, cpu * 1000 / messages, turn)

    def _one_session(self, peer: Peer, turn: int) -> None:
        sessions = run_apart(peer.port, self.sizes.sessions, SMALL, OURS, self.pins.load)
        self.results.put(P50, peer.name, sessions.percentile(50), turn)
        self.results.put(P99, peer.name, sessions.percentile(99), turn)

    def _bodies(self, peer: Peer, turn: int) -> None:
        _, cpu = self._load(peer, Load(messages=self.sizes.bodies, sessions=4, octets=BIG))
        self.results.put(CPU_BODY, peer.name, cpu * 1000 / (self.sizes.bodies * BIG / MB), turn)

    def refused(self) -> None:
        """Sessions that end with a refused recipient, against delivered ones of the same client."""
        with ExitStack() as stack:
            sink = stack.enter_context(Sink(self.directory / "refused-sink", self.pins.load))
            running = peers.start([POSTFIX, AUTO], self.directory / "refused", sink.port, self.pins, stack)
            for turn in range(self.sizes.rounds):
                for peer in self._in_turn(running, (POSTFIX, AUTO), turn):
                    self._attempt(
                        f"round {turn + 1}: refused sessions: {peer.name}",
                        partial(self._refused, peer, sink, turn),
                    )

    def _sessions_cpu(self, peer: Peer, octets: int, recipient: str) -> float:
        """CPU ms of one session of the timed client."""
        count = self.sizes.sessions * 3
        before = settled_cpu_seconds(peer.pid or 0)
        run_apart(peer.port, count, octets, recipient, self.pins.load)
        return (settled_cpu_seconds(peer.pid or 0) - before) * 1000 / count

    def _refused(self, peer: Peer, sink: Sink, turn: int) -> None:
        self.results.put(CPU_DELIVERED, peer.name, self._sessions_cpu(peer, SMALL, OURS), turn)
        before = sink.counts()
        self.results.put(CPU_REFUSED, peer.name, self._sessions_cpu(peer, 0, FOREIGN), turn)
        after = sink.counts()
        bare = after.bare - before.bare
        self.results.put(REFUSED_CONNECTIONS, peer.name, after.connections - before.connections - bare, turn)
        self.results.put(REFUSED_PROBES, peer.name, bare, turn)

    def idle(self) -> None:
        """Thousands of clients that do nothing. Each figure has servers of its own, fresh ones."""
        for clients in self.sizes.idle:
            for number, name in enumerate((POSTFIX, HAPROXY, AUTO)):
                if name == POSTFIX and clients > POSTFIX_IDLE:
                    continue
                self._attempt(
                    f"{clients} idle clients: {name}",
                    partial(self._idle, name, clients, number),
                )

    def _idle(self, name: str, clients: int, number: int) -> None:
        directory = self.directory / f"idle-{clients}-{number}"
        with ExitStack() as stack:
            sink = stack.enter_context(Sink(directory / "sink", self.pins.load))
            running = peers.start([name], directory, sink.port, self.pins, stack)
            if name not in running.peers:
                return
            peer = running.peers[name]
            run_apart(peer.port, 20, SMALL, OURS, self.pins.load)
            found = idle.measure(peer.port, peer.pid or 0, clients)
        self.results.put(f"{IDLE_KIB} {clients}", name, found.kib)
        self.results.put(f"{IDLE_ANSWERED} {clients}", name, found.answered)
        self.results.put(f"{IDLE_CPU} {clients}", name, found.quiet_cpu)
