"""What is measured: each scenario runs its peers one after the other with the same load, alternating the order.

CPU is that of the proxy's process tree alone. A run in which a single mail failed must give no value, only a line in
`broken`.
"""

import logging
import ssl
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from bench import idle, peers, recipients_load, tls_load
from bench.client import run_apart
from bench.meter import settled_cpu_seconds
from bench.peers import AUTO, COLD, DIRECT, HAPROXY, HOLD, POSTFIX, STREAM, TWO, Field, Peer, Pinning
from bench.results import Results
from bench.sink import Sink
from bench.tls_load import TlsLoad
from tests.end_to_end.programs.process import ProgramError
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtp_source import Load, send
from tests.fakes import certificates

RATE: Final = "messages/s"
CPU_NEW: Final = "CPU ms a message, new connection"
CPU_SAME: Final = "CPU ms a message, same connection"
P50: Final = "p50 ms"
P99: Final = "p99 ms"
CPU_TLS: Final = "CPU ms a message, TLS, new connection"
CPU_RESUMED: Final = "CPU ms a message, TLS resumed, new connection"
CROWD_RATE: Final = "messages/s, many recipients"
CPU_CROWD: Final = "CPU ms a message, many recipients"
CROWD_LOAD: Final = "CPU of load and sink / proxy"
CPU_BODY: Final = "CPU ms per MB"
CPU_REFUSED: Final = "CPU ms a refused session"
CPU_DELIVERED: Final = "CPU ms a delivered session"
REFUSED_CONNECTIONS: Final = "backend connections"
REFUSED_PROBES: Final = "probes meanwhile"
IDLE_KIB: Final = "KiB an idle client"
IDLE_ANSWERED: Final = "idle clients answered"
IDLE_CPU: Final = "idle CPU"
IDLE_TLS_KIB: Final = "KiB an idle client with TLS"
IDLE_TLS_ANSWERED: Final = "idle clients with TLS answered"

MIB: Final = 1024 * 1024
MB: Final = 1e6
SESSIONS: Final = 20
SMALL: Final = 4096
BIG: Final = 10 * MIB
OURS: Final = "client@example.org"
FOREIGN: Final = "client@foreign.example.com"
MOST_IDLE: Final = {POSTFIX: 1000, HAPROXY: 9000}
"""Postfix has a process for each client: five thousand would take 6 GB. haproxy needs two descriptors for each, and
20,000 are what machines of this kind allow a process.
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each load. The ordinary figures make about a second of work for the proxy, `--quick` far less."""

    rounds: int = 3
    messages: int = 3000
    same_messages: int = 4000
    sessions: int = 400
    bodies: int = 40
    idle: tuple[int, ...] = (1000, 5000, 10000)
    tls_messages: int = 1000
    crowd_messages: int = 1600
    tls_idle: int = 1000


@dataclass(slots=True)
class Bench:
    """One run of everything."""

    directory: Path
    pins: Pinning
    sizes: Sizes
    results: Results = field(default_factory=Results)
    missing: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    agreed: dict[str, set[str]] = field(default_factory=dict)
    """Peer -> what its clients under TLS agreed on with it."""

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
            small = [DIRECT, POSTFIX, HAPROXY, AUTO, COLD, TWO]
            for peer in running.peers.values():
                self._attempt(f"warm-up: {peer.name}", partial(self._warm, peer))
            for turn in range(self.sizes.rounds):
                steps: list[tuple[str, list[str], Callable[[Peer, int], None]]] = [
                    ("new connections", small, self._new_connections),
                    ("same connection", small[:-2], self._same_connection),
                    ("one session", small[:-2], self._one_session),
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

    def workers(self) -> None:
        """One worker and two on all cores, with a load that costs little beside them, in rounds."""
        free = Pinning((), ())
        with ExitStack() as stack:
            sink = stack.enter_context(SmtpSink(self.directory / "workers-sink"))
            running = peers.start([AUTO, TWO], self.directory / "workers", sink.port, free, stack)
            self.missing |= running.missing
            for turn in range(-1, self.sizes.rounds):  # the first one warms up
                for peer in self._in_turn(running, (AUTO, TWO), turn):
                    self._attempt(f"round {turn + 1}: workers: {peer.name}", partial(self._crowd, peer, sink, turn))

    def _crowd(self, peer: Peer, sink: SmtpSink, turn: int) -> None:
        messages = self.sizes.crowd_messages
        before, beside = settled_cpu_seconds(peer.pid or 0), settled_cpu_seconds(sink.child.pid)
        sent = recipients_load.run_apart(peer.port, messages, SESSIONS)
        cpu = settled_cpu_seconds(peer.pid or 0) - before
        beside = settled_cpu_seconds(sink.child.pid) - beside + sent.cpu
        if turn >= 0:
            self.results.put(CROWD_RATE, peer.name, messages / sent.seconds, turn)
            self.results.put(CPU_CROWD, peer.name, cpu * 1000 / messages, turn)
            self.results.put(CROWD_LOAD, peer.name, beside / cpu, turn)

    def secured(self, sink_port: int) -> None:
        """Small messages under TLS, with full handshakes and with tickets, in rounds."""
        with ExitStack() as stack:
            files, authority = self._certificate()
            running = peers.start([POSTFIX, AUTO], self.directory / "tls", sink_port, self.pins, stack, files)
            self.missing |= running.missing
            for turn in range(-1, self.sizes.rounds):  # the first one warms up
                for metric, resume in ((CPU_TLS, False), (CPU_RESUMED, True)):
                    for peer in self._in_turn(running, (POSTFIX, AUTO), turn):
                        self._attempt(
                            f"round {turn + 1}: {metric}: {peer.name}",
                            partial(self._secured, peer, turn, metric, authority, resume=resume),
                        )

    def _certificate(self) -> tuple[tuple[Path, Path], Path]:
        """Write a certificate with its key, and its authority."""
        directory = self.directory / "certificate"
        directory.mkdir(exist_ok=True)
        authority = directory / "authority.pem"
        certificates.authority().cert_pem.write_to_path(str(authority))
        return certificates.issue(directory), authority

    def _secured(self, peer: Peer, turn: int, metric: str, authority: Path, *, resume: bool) -> None:
        load = TlsLoad(self.sizes.tls_messages, SESSIONS, SMALL, OURS, resume)
        before = settled_cpu_seconds(peer.pid or 0)
        agreed = tls_load.run_apart(peer.port, load, authority, self.pins.load).agreed
        cpu = settled_cpu_seconds(peer.pid or 0) - before
        self.agreed.setdefault(peer.name, set()).update(agreed)
        if turn >= 0:
            self.results.put(metric, peer.name, cpu * 1000 / load.messages, turn)

    def idle_secured(self) -> None:
        """Clients under TLS that do nothing."""
        clients = self.sizes.tls_idle
        files, authority = self._certificate()
        context = tls_load.trusting(authority)
        for number, name in enumerate((POSTFIX, AUTO)):
            directory = self.directory / f"idle-tls-{number}"
            self._attempt(
                f"{clients} idle clients with TLS: {name}",
                partial(self._rest, name, directory, clients, (IDLE_TLS_KIB, IDLE_TLS_ANSWERED, ""), files, context),
            )

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
                if clients > MOST_IDLE.get(name, clients):
                    continue
                metrics = (f"{IDLE_KIB} {clients}", f"{IDLE_ANSWERED} {clients}", f"{IDLE_CPU} {clients}")
                directory = self.directory / f"idle-{clients}-{number}"
                self._attempt(
                    f"{clients} idle clients: {name}",
                    partial(self._rest, name, directory, clients, metrics),
                )

    def _rest(
        self,
        name: str,
        directory: Path,
        clients: int,
        metrics: tuple[str, str, str],
        files: peers.Files = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Let clients do nothing; `metrics` are the names for memory, answers and CPU, "" where nobody asks."""
        with ExitStack() as stack:
            sink = stack.enter_context(Sink(directory / "sink", self.pins.load))
            running = peers.start([name], directory, sink.port, self.pins, stack, files)
            if name not in running.peers:
                return
            peer = running.peers[name]
            run_apart(peer.port, 20, SMALL, OURS, self.pins.load)
            found = idle.measure(peer.port, peer.pid or 0, clients, context)
        for metric, value in zip(metrics, (found.kib, found.answered, found.quiet_cpu), strict=True):
            if metric:
                self.results.put(metric, name, value)
