"""A worker: the process that serves sessions, under one configuration for all its life.

Order of its start: the sample backend where one is configured, one probe of each server, then accept. Its end: stop
accepting, let transactions finish, say 421 to those who are between two, cut off what is left after `drain_timeout`,
but never a session that waits for the reply to its final dot. A worker that retires does the first of these alone: its
sessions end by themselves, with the configuration they began with.
"""

import contextlib
import os
import resource
import time
from dataclasses import replace
from functools import partial

import trio

from smtproxy.app.accepting import warn_of_accepting
from smtproxy.app.admin import Desk, answer, listen
from smtproxy.app.assembly import overload, policy, pool, quotas, relay_settings, tarpit
from smtproxy.app.config import Config
from smtproxy.app.control import GONE, Line, Order, Report
from smtproxy.app.generation import Generation
from smtproxy.app.kernel_blocks import KernelBlocks, kernel_settings
from smtproxy.app.log import LineJournal
from smtproxy.app.lookups import counting, hosting, recipients, sources
from smtproxy.app.penalty_box import PenaltyBox
from smtproxy.app.shared import Shared
from smtproxy.app.sightings import Sightings, written
from smtproxy.app.stores import opened, wall_clock
from smtproxy.network.ceiling import Ceiling, Page
from smtproxy.network.driver import Service, Session
from smtproxy.network.gathering import Sources
from smtproxy.network.listener import BATCH, FEW, Listener
from smtproxy.network.load import gauges_of, watch_load
from smtproxy.network.pool import Pool, Server
from smtproxy.network.probe import watch
from smtproxy.network.sockets import Endpoint
from smtproxy.network.sweeper import answer as answer_bell
from smtproxy.network.sweeper import sweep
from smtproxy.policy.judge import Policy
from smtproxy.policy.overload import Overload
from smtproxy.policy.quotas import Quotas
from smtproxy.sample.mailstore import MailStore
from smtproxy.sample.profiles import embedded
from smtproxy.sample.record import BackendRecord
from smtproxy.sample.script import Script
from smtproxy.sample.server import serve as serve_sample
from smtproxy.session.memory import Memory
from smtproxy.session.records import Event
from smtproxy.session.settings import BodyMode

FIRST_PROBE = 5.0
"""Seconds to wait for the backends before clients are accepted; they queue in the kernel meanwhile.

For a place at one that is full a worker waits as long as a session does, if it could promise nothing without.
"""
BEAT = 1.0
"""Seconds between two signs of life."""
RESERVE = 64
"""File descriptors for everything that is few: log, locks, the loop, look-ups, the standard library."""
_MANY = 1 << 20
"""What "unlimited" is taken for."""


class Worker:
    """Everything that runs in this process."""

    def __init__(
        self,
        generation: Generation,
        journal: LineJournal,
        shared: Shared,
        row: int,
        line: Line,
        sightings: Sightings,
        *,
        workers: int,
        leads: bool,
    ) -> None:
        """Be one of `workers`, the one with this `row` of what is shared; `line` leads to the supervisor.

        `sightings` are those of other workers. `leads`: what is to be done once, this one does.
        """
        self._generation = generation
        self._config = generation.config
        self._journal = journal
        self._shared = shared
        self._row = row
        self._line = line
        self._sightings = sightings
        self._workers = workers
        self._leads = leads
        self._sessions: set[Session] = set()
        self._pools: dict[str, Pool] = {}
        self._cut: set[Session] = set()
        self._policies: list[Policy] = []
        self._sources: Sources | None = None
        self._kernel: KernelBlocks | None = None
        self._store = opened(shared.remembered, journal)
        self._asked_to_end = trio.Event()
        self._asked_to_drain = trio.Event()
        self._first_probes = trio.CancelScope()

    async def run(self) -> None:
        """Start, serve, drain or retire."""
        config = self._config
        self._policies = [policy(config, listener) for listener in config.listeners]
        async with hosting(self._policies), self._store.running(), trio.open_nursery() as background:
            background.start_soon(self._obey)
            background.start_soon(self._journal.writer.drain)
            background.start_soon(self._beat)
            at_hand = self._store.at_hand(background, self._journal)
            background.start_soon(at_hand.run)
            await self._start_backends(background)
            kernel = kernel_settings(config)
            if kernel is not None:
                self._kernel = KernelBlocks(kernel, at_hand, self._shared.kernel, self._journal, wall_clock)
            known = recipients(config, self._journal, config.server.state, self._pools)
            limits = counting(config, self._store.store, self._store.secret)
            self._sources = sources(
                config,
                self._policies,
                background,
                self._journal,
                known.lookup,
                heard=known.heard,
                workers=self._workers,
                remembering=at_hand,
                limits=limits,
            )
            if self._kernel is not None:
                self._sources = replace(self._sources, penalised=self._kernel.learned)
            await known.start()
            background.start_soon(known.run)
            if config.server.state is not None:
                judges = sorted({name for one in self._policies for name in one.names})
                box = PenaltyBox(at_hand, judges, wall_clock, limits, self._kernel)
                desks: dict[str, Desk] = {"recipients": partial(answer, known), "reputation": box.answer}
                background.start_soon(listen, config.server.state, desks, self._journal)
            if self._leads:
                background.start_soon(warn_of_accepting, config, self._pools, self._journal)
            pools = tuple(self._pools.values())
            background.start_soon(answer_bell, self._shared.ceilings.bell(self._row), pools)
            background.start_soon(sweep, self._sessions, pools)
            async with trio.open_nursery() as serving:
                await self._accept(serving, background)
                for made in pools:
                    made.warm.stop()
                if self._asked_to_drain.is_set():
                    self._begin_to_drain(background)
                else:
                    background.start_soon(self._drain_later, background)
            background.cancel_scope.cancel()
        self._line.say(f"{Report.CUT} {len(self._cut)}")

    async def _start_backends(self, background: trio.Nursery) -> None:
        config = self._config
        probes: list[tuple[Pool, Server, trio.Event]] = []
        offset = _offset()

        def ceiling(backend: str, server: str) -> Ceiling:
            page = self._shared.ceilings.page(backend, server)
            if page is None:  # A sample server is this worker's own.
                return Ceiling(Page(config.backends[backend].max_connections))
            return Ceiling(page, self._row, offset)

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
            security = self._generation.servers[name]
            self._pools[name] = made = pool(config, name, samples, self._journal, security, partial(ceiling, name))
            made.begin_with(self._sightings.of(config, name))
            for server in made.servers:
                probed = trio.Event()
                probes.append((made, server, probed))
                background.start_soon(watch, made, server, config.server.hostname, config.bounds, probed)
        with self._first_probes:
            with trio.move_on_after(FIRST_PROBE):
                for _, _, probed in probes:
                    await probed.wait()
            # Full is not down. Clients would hear nothing but 421; the generation before serves them meanwhile.
            with trio.move_on_after(config.bounds.place_time):
                for made, server, probed in probes:
                    if made.offered is None and server.asked_at:
                        await probed.wait()

    async def _accept(self, serving: trio.Nursery, background: trio.Nursery) -> None:
        """Accept clients until somebody asks for the end; their sessions run in `serving`."""
        inherited = self._shared.ceilings.rows + len(self._generation.arrangement)
        most = most_sessions(self._config, _descriptors(), inherited)
        busy = overload(self._config, most)
        if busy is not None:
            background.start_soon(watch_load, busy, self._sessions, gauges_of(self._workers), self._journal)
        async with trio.open_nursery() as accepting:
            if self._kernel is not None:  # whoever retires leaves it to the next generation
                accepting.start_soon(partial(self._kernel.run, first=self._leads))
            for listener in self._listeners(most, busy):
                accepting.start_soon(listener.serve, serving)
            if not self._asked_to_end.is_set():
                self._tell_sightings()
                self._line.say(Report.READY)
            await self._asked_to_end.wait()
            accepting.cancel_scope.cancel()
        # Not before the last of them has stopped: one may be in the middle of its batch. The supervisor has them, too:
        # what waits in their queues waits for the next worker.
        for _, sock in self._generation.arrangement:
            sock.close()

    def _listeners(self, most: int, busy: Overload | None) -> list[Listener]:
        config = self._config
        counters = Quotas(quotas(config), self._shared.clients, self._row, _offset())
        delayed = tarpit(config)
        memory = Memory(config.bounds.body_memory_total // self._workers)
        disk = Memory(config.bounds.body_disk_total // self._workers)
        services = [
            Service(
                relay_settings(config, listener),
                judged_by,
                self._pools[listener.backend],
                self._journal,
                memory,
                disk,
                sources=self._sources,
                tls=context,
                quotas=counters,
                tarpit=delayed,
                overload=busy,
                resets=config.checks.blocked.at == "accept",
                balancers=listener.proxy_protocol,
            )
            for listener, judged_by, context in zip(
                config.listeners, self._policies, self._generation.contexts, strict=True
            )
        ]
        batch = FEW if self._workers > 1 else BATCH
        return [
            Listener(sock, services[place], self._sessions, most, batch=batch)
            for place, sock in self._generation.arrangement
        ]

    async def _drain_later(self, background: trio.Nursery) -> None:
        """Retired; drain when that is wanted, too."""
        await self._asked_to_drain.wait()
        self._begin_to_drain(background)

    def _begin_to_drain(self, background: trio.Nursery) -> None:
        """Ask all sessions to come to an end."""
        timeout = self._config.server.drain_timeout
        self._journal.record(Event.DRAINING, {"pid": os.getpid(), "sessions": len(self._sessions), "timeout": timeout})
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

    async def _obey(self) -> None:
        """Do what the supervisor says; if it is gone, nobody else will ever ask for the end."""
        words: list[str] = []
        while GONE not in words:
            await trio.lowlevel.wait_readable(self._line.sock)
            words = self._line.hear()
            for word in words:
                self._asked_to_end.set()
                self._first_probes.cancel()
                if word != Order.RETIRE:
                    self._asked_to_drain.set()
                if word == Order.CUT:
                    await self._cut_off(0)

    async def _beat(self) -> None:
        """Say once a second that this loop runs."""
        while True:
            self._line.say(Report.BEAT)
            self._tell_sightings()
            await trio.sleep(BEAT)

    def _tell_sightings(self) -> None:
        """Tell the supervisor what is new of the servers: a worker that is forked later may find no place to probe."""
        for name, made in self._pools.items():
            # A sample server is this worker's own.
            for server in () if self._config.backends[name].is_embedded else made.servers:
                seen = server.sighting
                if seen is not None and self._sightings.note(self._config, name, server.name, seen):
                    self._line.say(*(f"{Report.SEEN} {text}" for text in written(name, server.name, seen)))


def most_sessions(config: Config, descriptors: int, inherited: int) -> int:
    """Return how many sessions there may be with so many file descriptors: others need theirs, too.

    Backends, held bodies, questions to the DNS.
    `inherited`: descriptors that it has from the supervisor, a listening socket for each address and all the bells.
    Running out of descriptors would not stop at accepting clients: those inside could not reach the backend any more.
    """
    backends = sum(len(backend.servers) * backend.max_connections for backend in config.backends.values())
    each = 2 if any(listener.body is BodyMode.HOLD for listener in config.listeners) else 1
    others = backends + config.dns.concurrent + inherited + RESERVE
    return max(1, min(config.bounds.sessions, (descriptors - others) // each))


def _offset() -> float:
    """Return what is to be added to this worker's time to get one that all workers agree on."""
    return time.monotonic() - trio.current_time()


def _descriptors() -> int:
    """Raise the soft limit of file descriptors to the hard one; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft if soft >= 0 else _MANY
