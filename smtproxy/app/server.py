"""The server: one process that listens, serves, and drains on SIGTERM.

Order of a start: bind every address (a mistake shows at once), start the sample backend where one is configured, probe
the backends once, then accept. Order of an end: stop accepting, let transactions finish, say 421 to those who are
between two, cut off what is left after `drain_timeout`, but never a session that waits for the reply to its final dot.
"""

import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator

import trio

from smtproxy import __version__
from smtproxy.app.assembly import policy, pool, quotas, relay_settings, tarpit, tls
from smtproxy.app.config import Config
from smtproxy.app.log import LineJournal, configure_structlog, open_log
from smtproxy.network.driver import Service, Session
from smtproxy.network.listener import Listener
from smtproxy.network.pool import Pool
from smtproxy.network.probe import watch
from smtproxy.network.sockets import Endpoint, bound, listen
from smtproxy.network.sweeper import sweep
from smtproxy.sample.mailstore import MailStore
from smtproxy.sample.profiles import embedded
from smtproxy.sample.record import BackendRecord
from smtproxy.sample.script import Script
from smtproxy.sample.server import serve as serve_sample
from smtproxy.session.memory import Memory
from smtproxy.session.records import Event
from smtproxy.session.settings import BodyMode

FAILED = 1
"""Exit status when an address cannot be bound."""
FIRST_PROBE = 5.0
"""Seconds to wait for the backends before clients are accepted; they queue in the kernel meanwhile."""
RESERVE = 64
"""File descriptors for everything but sessions: listeners, log, probes, the standard library."""
_MANY = 1 << 20
"""What "unlimited" is taken for."""
_STDOUT = 1


def run(config: Config) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP (its terminal is gone); return the exit status."""
    sockets: list[tuple[int, socket.socket]] = []
    for place, listener in enumerate(config.listeners):
        for address in listener.bind:
            try:
                sockets.append((place, listen(Endpoint(address.host, address.port))))
            except OSError as error:
                sys.stderr.write(f"smtproxy: listener {listener.name}: {address}: {error.strerror}\n")
                return FAILED
    journal = open_log(_STDOUT, config.log.format)
    configure_structlog(journal)
    try:
        trio.run(_Server(config, journal, sockets).run)
    finally:
        for _, sock in sockets:
            sock.close()
        journal.writer.close()
    return 0


class _Server:
    """Everything that runs in this process."""

    def __init__(self, config: Config, journal: LineJournal, sockets: list[tuple[int, socket.socket]]) -> None:
        self._config = config
        self._journal = journal
        self._sockets = sockets
        self._sessions: set[Session] = set()
        self._pools: dict[str, Pool] = {}
        self._cut: set[Session] = set()
        self._asked_to_end = trio.Event()
        self._first_probes = trio.CancelScope()

    async def run(self) -> None:
        """Start, serve, drain."""
        config, journal = self._config, self._journal
        journal.record(
            Event.STARTING,
            {
                "version": __version__,
                "configuration": str(config.path),
                "pid": os.getpid(),
                "hostname": config.server.hostname,
            },
        )
        # From the first moment on: also a start that waits for its backends ends as it should.
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as background:
                background.start_soon(self._obey, signals)
                background.start_soon(journal.writer.drain)
                await self._start_backends(background)
                background.start_soon(sweep, self._sessions, tuple(self._pools.values()))
                async with trio.open_nursery() as serving:
                    await self._accept(serving)
                    self._drain(background)
                for made in self._pools.values():
                    made.warm.clear()
                background.cancel_scope.cancel()
        journal.record(Event.STOPPED, {"sessions": len(self._cut), "reason": "cut off" if self._cut else "drained"})

    async def _start_backends(self, background: trio.Nursery) -> None:
        config = self._config
        probes: list[trio.Event] = []
        for name, backend in config.backends.items():
            samples: dict[str, Endpoint] = {}
            if backend.is_embedded:
                host, port = await background.start(
                    serve_sample,
                    embedded("exchange"),
                    Script(),
                    BackendRecord(keep=False),
                    MailStore(config.sample.directory),
                )
                samples[name] = Endpoint(host, port)
            self._pools[name] = made = pool(config, name, samples, self._journal)
            for server in made.servers:
                probed = trio.Event()
                probes.append(probed)
                background.start_soon(watch, made, server, config.server.hostname, config.limits, probed)
        self._first_probes.deadline = trio.current_time() + FIRST_PROBE
        with self._first_probes:
            for probed in probes:
                await probed.wait()

    async def _accept(self, serving: trio.Nursery) -> None:
        """Accept clients until somebody asks for the end; their sessions run in `serving`."""
        config, journal = self._config, self._journal
        listeners = self._listeners()
        async with trio.open_nursery() as accepting:
            for listener in listeners:
                accepting.start_soon(listener.serve, serving)
            for place, sock in self._sockets:
                name = config.listeners[place].name
                journal.record(Event.LISTENING, {"listener": name, "address": str(bound(sock))})
            self._introduce_sample()
            await self._asked_to_end.wait()
            accepting.cancel_scope.cancel()
        # Not before the last of them has stopped: one may be in the middle of its batch.
        for _, sock in self._sockets:
            sock.close()

    def _listeners(self) -> list[Listener]:
        config = self._config
        memory, disk = Memory(config.limits.body_memory_total), Memory(config.limits.body_disk_total)
        counters, delayed = quotas(config), tarpit(config)
        services = [
            Service(
                relay_settings(config, listener),
                policy(config, listener),
                self._pools[listener.backend],
                self._journal,
                memory,
                disk,
                tls=tls(listener),
                quotas=counters,
                tarpit=delayed,
                balancers=listener.proxy_protocol,
            )
            for listener in config.listeners
        ]
        most = most_sessions(config, _descriptors())
        return [Listener(sock, services[place], self._sessions, most) for place, sock in self._sockets]

    def _introduce_sample(self) -> None:
        """Tell a new user where the mail goes (nowhere), and how to send one."""
        config = self._config
        for place, sock in self._sockets:
            listener = config.listeners[place]
            if not config.backends[listener.backend].is_embedded:
                continue
            domain = next((one for one in listener.domains if one != "*"), "example.org")
            address = bound(sock)
            # Single quotes only: neither of the two formats of the log has to escape them.
            command = (
                "python3 -c 'import smtplib, sys; smtplib.SMTP(*sys.argv[1:3]).sendmail(*sys.argv[3:])' "
                f"{address.host} {address.port} me@example.net you@{domain} 'Subject: A test'"
            )
            self._journal.record(
                Event.SAMPLE_BACKEND,
                {
                    "backend": listener.backend,
                    "directory": str(config.sample.directory),
                    "warning": "embedded sample backend: mail goes nowhere but into this directory",
                    "try": command,
                },
            )
            return

    def _drain(self, background: trio.Nursery) -> None:
        """Ask all sessions to come to an end."""
        timeout = self._config.server.drain_timeout
        self._journal.record(Event.DRAINING, {"sessions": len(self._sessions), "timeout": timeout})
        for session in tuple(self._sessions):
            session.shut_down()
        background.start_soon(self._cut_off, timeout)

    async def _cut_off(self, patience: float) -> None:
        """End the sessions that are left, but for those whose message is committed."""
        await trio.sleep(patience)
        while self._sessions:
            # Again and again: one whose message was committed may go on to the next one.
            for session in self._sessions - self._cut:
                if not session.committed and not session.over:
                    self._cut.add(session)
                    session.cut_off()
            await trio.sleep(1)

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        """The first signal begins the end; whoever asks again is in a hurry."""
        await anext(signals)
        self._asked_to_end.set()
        self._first_probes.cancel()
        async for _ in signals:
            await self._cut_off(0)


def most_sessions(config: Config, descriptors: int) -> int:
    """Return how many sessions there may be with so many file descriptors: backends and held bodies need theirs, too.

    Running out of descriptors would not stop at accepting clients: those inside could not reach the backend any more.
    """
    backends = sum(len(backend.servers) * backend.max_connections for backend in config.backends.values())
    each = 2 if any(listener.body is BodyMode.HOLD for listener in config.listeners) else 1
    return max(1, min(config.limits.sessions, (descriptors - backends - RESERVE) // each))


def _descriptors() -> int:
    """Raise the soft limit of file descriptors to the hard one; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft if soft >= 0 else _MANY
