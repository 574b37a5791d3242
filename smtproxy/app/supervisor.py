"""The supervisor: holds the listening sockets and what all workers share, keeps the workers alive, obeys signals.

It serves nobody itself and never runs trio or a thread, so that it can be forked at any time: a worker begins with the
very configuration and sockets that were checked here, in some milliseconds, and shares the memory of the program. (A
new interpreter would have to read the configuration again, and might find another one.)

A *generation* is the workers of one configuration. A reload starts a new generation beside the old one and lets the old
one retire once every new worker accepts clients; if one of them fails to start, the old generation stays. So a worker
never changes its configuration, and no client waits for a reload.
"""

import gc
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import trio

from smtproxy import __version__
from smtproxy.app import signals
from smtproxy.app.announcement import announce
from smtproxy.app.bindings import BindError, Bindings
from smtproxy.app.children import Child, Pause, Vacancy, fork
from smtproxy.app.config import Config, ConfigErrors, load
from smtproxy.app.control import GONE, Line, Order, Report
from smtproxy.app.generation import Generation, prepare
from smtproxy.app.log import LineJournal, configure_structlog, open_log
from smtproxy.app.shared import Shared
from smtproxy.app.sightings import Sightings
from smtproxy.app.systemd import Notifier
from smtproxy.app.worker import BEAT, Worker
from smtproxy.network.tls import CertificateError
from smtproxy.session.records import Event

FAILED = 1
"""Exit status when an address cannot be bound, no worker can start, or one did not end well."""
HANGS_AFTER = 30.0
"""Seconds without a sign of life after which a worker is killed: nothing that a loop does takes so long."""
FLUSH = 0.1
"""Seconds after which a stalled log is tried again."""
_STDOUT = 1


@dataclass(slots=True)
class _State:
    """What changes while it runs."""

    children: list[Child] = field(default_factory=list)
    vacancies: list[Vacancy] = field(default_factory=list)
    coming: Generation | None = None
    """The generation that is to take over as soon as all of its workers accept clients."""
    announced: bool = False
    """The first generation has taken over."""
    reload_wanted: bool = False
    stopping: bool = False
    failed: bool = False
    cut: int = 0


class Supervisor:
    """All workers, and what they share."""

    def __init__(self, config: Config, bindings: Bindings, notifier: Notifier) -> None:
        """Supervise `config.server.workers` workers. Raises BindError, CertificateError."""
        self._count = config.server.workers
        self._bindings = bindings
        self._notifier = notifier
        self._current = prepare(config, bindings)
        bindings.settle(self._current.arrangement)
        self._clients = config.bounds.clients
        self._shared = Shared(self._count, self._clients)
        self._journal = self._open_log(config)
        self._sightings = Sightings()
        self._pause = Pause()
        self._fed = 0.0
        self._looked = time.monotonic()
        self._state = _State()

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; return the exit status."""
        config = self._current.config
        self._journal.record(
            Event.STARTING,
            {
                "version": __version__,
                "configuration": str(config.path),
                "pid": os.getpid(),
                "hostname": config.server.hostname,
                "workers": self._count,
            },
        )
        self._shared.allow(config)
        self._shared.remember(config.store, self._journal)
        gc.freeze()  # What is there now is shared with all workers until somebody writes to it.
        with signals.heard() as heard:
            self._start(self._current)
            while self._state.children or self._state.vacancies:
                for number in self._wait(heard):
                    self._obey(number)
                self._look_after()
        cut = self._state.cut
        self._journal.record(Event.STOPPED, {"sessions": cut, "reason": "cut off" if cut else "drained"})
        self._journal.close()
        self._bindings.close()
        self._shared.close()
        return FAILED if self._state.failed else 0

    # Waiting

    def _wait(self, heard: socket.socket) -> list[int]:
        """Wait until something is to be done; return the signals that came."""
        poll = select.poll()
        poll.register(heard, select.POLLIN)
        lines = {child.line.sock.fileno(): child for child in self._state.children}
        for descriptor in lines:
            poll.register(descriptor, select.POLLIN)
        numbers: list[int] = []
        for descriptor, _ in poll.poll(self._milliseconds()):
            if descriptor in lines:
                self._listen(lines[descriptor])
            else:
                numbers += heard.recv(4096)
        return numbers

    def _milliseconds(self) -> float:
        """How long nothing is to be done, if nothing happens."""
        now = time.monotonic()
        dues = [now + BEAT, *(one.due for one in self._state.vacancies)]
        if self._notifier.watchdog:
            dues.append(now + self._notifier.watchdog / 4)
        if self._journal.writer.waiting:
            dues.append(now + FLUSH)
        return max(0.0, min(dues) - now) * 1000

    def _look_after(self) -> None:
        """Do what is due."""
        state, now = self._state, time.monotonic()
        for vacancy in [one for one in state.vacancies if one.due <= now]:
            state.vacancies.remove(vacancy)
            self._fork(vacancy.generation)
        may_reload = state.announced and not state.coming and not state.stopping
        if state.reload_wanted and may_reload and self._has_room():
            state.reload_wanted = False
            self._reload()
        self._kill_the_hung(now)
        self._feed_watchdog(now)
        self._journal.writer.flush()

    def _feed_watchdog(self, now: float) -> None:
        """Tell systemd that this loop runs. Whether those of the workers do is its own matter."""
        watchdog = self._notifier.watchdog
        if watchdog and now - self._fed >= watchdog / 4:
            self._fed = now
            self._notifier.feed()

    def _kill_the_hung(self, now: float) -> None:
        """End workers whose loop hangs: their clients wait in vain, and new ones may get there."""
        if now - self._looked > HANGS_AFTER / 2:
            # It was us who hung, or the whole machine was stopped: what they said meanwhile is still to be heard.
            for child in self._state.children:
                child.beat = now
        self._looked = now
        for child in self._state.children:
            if now - child.beat > HANGS_AFTER and not child.hung:
                child.hung = True
                os.kill(child.pid, signal.SIGKILL)

    # Signals

    def _obey(self, number: int) -> None:
        """The first SIGTERM or SIGINT begins the end; whoever asks again is in a hurry."""
        state = self._state
        if number == signal.SIGHUP:
            state.reload_wanted = True
            return
        order = Order.CUT if state.stopping else Order.DRAIN
        if not state.stopping:
            state.stopping = True
            self._notifier.stopping()
            state.vacancies.clear()
            # What waits in the queues has nobody to wait for any more: reset now, it goes to the next MX at once.
            self._bindings.close()
        for child in state.children:
            self._tell(child, order)

    def _tell(self, child: Child, order: Order) -> None:
        child.told = order
        child.line.say(order)

    # Reload

    def _has_room(self) -> bool:
        """Return whether another generation has room beside those before; if not, make some.

        The sessions of the oldest one are asked to end. To refuse would leave the reload that counts, of a renewed
        certificate, to whoever keeps old sessions open.
        """
        children = self._state.children
        missing = len(children) + len(self._state.vacancies) + self._count - self._shared.rows
        leaving = sum(child.told in (Order.DRAIN, Order.CUT) for child in children)
        while leaving < missing and (retired := [child for child in children if child.told is Order.RETIRE]):
            oldest = [child for child in retired if child.generation is retired[0].generation]
            for child in oldest:
                self._tell(child, Order.DRAIN)
            path = str(self._current.config.path)
            self._journal.record(Event.RELOAD_WAITS, {"configuration": path, "workers": len(oldest)})
            leaving += len(oldest)
        return missing <= 0

    def _reload(self) -> None:
        """Start a generation with the configuration as it is now; if that cannot be, all stays as it was."""
        state = self._state
        self._notifier.reloading()
        try:
            config = load(self._current.config.path)
            coming = prepare(config, self._bindings)
        except ConfigErrors as wrong:
            self._refuse(map(str, wrong.errors))
        except (BindError, CertificateError) as wrong:
            self._refuse([str(wrong)])
        except Exception as fault:  # noqa: BLE001 - a fault of ours must not end those who serve well
            self._bindings.discard()
            self._refuse([f"{type(fault).__name__}: {fault}"])
        else:
            self._shared.allow(config)
            state.coming = coming
            self._start(coming)

    def _refuse(self, errors: Sequence[str] | Iterator[str]) -> None:
        for error in errors:
            self._journal.record(Event.RELOAD_FAILED, {"configuration": str(self._current.config.path), "error": error})
        self._notifier.ready()

    def _take_over(self, coming: Generation) -> None:
        """All workers of a new generation accept clients: the one before retires."""
        state, before = self._state, self._current
        self._bindings.settle(coming.arrangement)
        state.coming, self._current = None, coming
        state.vacancies.clear()
        for child in state.children:
            if child.generation is not coming and child.told is None:
                self._tell(child, Order.RETIRE)
        if coming.config.log != before.config.log:
            self._journal.close()
            self._journal = self._open_log(coming.config)
        restart = ["server.workers"] if coming.config.server.workers != self._count else []
        restart += ["store"] if coming.config.store != self._shared.remembered.settings else []
        restart += ["bounds.clients"] if coming.config.bounds.clients != self._clients else []
        self._journal.record(Event.RELOADED, {"configuration": str(coming.config.path), "needs_restart": restart})

    def _give_up(self, coming: Generation, error: str) -> None:
        """A worker of a new generation could not start: those of the old one are still there."""
        state = self._state
        state.coming = None
        self._bindings.discard()
        self._shared.allow(self._current.config)
        for child in state.children:
            if child.generation is coming:
                self._tell(child, Order.DRAIN)
        self._refuse([error])

    # Workers

    def _start(self, generation: Generation) -> None:
        for _ in range(self._count):
            if not self._fork(generation):
                return

    def _fork(self, generation: Generation) -> bool:
        """Start one worker; False: the system does not let us."""
        taken = {child.row for child in self._state.children}
        row = next(row for row in range(self._shared.rows) if row not in taken)
        leads = all(child.generation is not generation for child in self._state.children)
        try:
            pid, line = fork(lambda line: self._work(generation, row, line, leads=leads))
        except OSError as error:
            self._died(generation, {"pid": 0, "status": 0, "error": error.strerror}, lived=0.0)
            return False
        now = time.monotonic()
        self._state.children.append(Child(pid, row, line, generation, now, now))
        self._journal.record(Event.WORKER_STARTED, {"pid": pid})
        return True

    def _work(self, generation: Generation, row: int, line: Line, *, leads: bool) -> None:
        """Be a worker; called in the child, which has inherited everything."""
        for child in self._state.children:
            child.line.close()  # Else it would keep its brothers from noticing that their supervisor is gone.
        # Else a port that another generation has given up, or is to have, would listen on in here, and nobody answer.
        self._bindings.settle(generation.arrangement)
        journal = self._open_log(generation.config, row)
        worker = Worker(
            generation,
            journal,
            self._shared,
            row,
            line,
            self._sightings,
            workers=self._count,
            leads=leads,
        )
        try:
            trio.run(worker.run)
        finally:
            journal.close()

    def _listen(self, child: Child) -> None:
        for word in child.line.hear():
            kind, _, rest = word.partition(" ")
            if word == GONE:
                self._bury(child)
            elif kind == Report.READY:
                child.ready = True
                self._got_ready(child.generation)
            elif kind == Report.SEEN:
                self._sightings.read(child.generation.config, rest)
            elif kind == Report.CUT:
                self._state.cut += int(rest)
            child.beat = time.monotonic()

    def _got_ready(self, generation: Generation) -> None:
        state = self._state
        ready = [child for child in state.children if child.generation is generation and child.ready]
        if len(ready) < self._count or state.stopping:
            return
        if generation is state.coming:
            self._take_over(generation)
        elif state.announced:
            return  # Somebody took the place of one that died.
        state.announced = True
        announce(generation.config, generation.arrangement, self._journal)
        self._notifier.ready()

    def _bury(self, child: Child) -> None:
        """A worker has ended: its places are free, its sessions are gone, its clients will come again."""
        state = self._state
        _, status = os.waitpid(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        child.line.close()
        state.children.remove(child)
        if self._shared.vacate(child.row):
            self._journal.writer.end_line()
        if code == 0 and child.told is not None:
            self._journal.record(Event.WORKER_ENDED, {"pid": child.pid})
            return
        error = f"no sign of life for {HANGS_AFTER:g} s" if child.hung else signals.name_of(code)
        how: dict[str, object] = {"pid": child.pid, "status": code, "error": error}
        if child.told is not None or state.stopping:
            state.failed = state.failed or state.stopping
            self._journal.record(Event.WORKER_DIED, how)
        else:
            self._died(child.generation, how, lived=time.monotonic() - child.started)

    def _died(self, generation: Generation, how: dict[str, object], *, lived: float) -> None:
        """A worker is missing."""
        state = self._state
        if not state.announced:
            # The start failed, and would fail again: whoever started us must see that.
            self._journal.record(Event.WORKER_DIED, how)
            state.failed = state.stopping = True
            for child in state.children:
                self._tell(child, Order.CUT)
        elif generation is state.coming:
            self._journal.record(Event.WORKER_DIED, how)
            self._give_up(generation, "a worker could not start with it")
        else:
            pause = self._pause.after(lived)
            self._journal.record(Event.WORKER_DIED, how | {"retry": pause})
            state.vacancies.append(Vacancy(time.monotonic() + pause, generation))

    # Log

    def _open_log(self, config: Config, row: int | None = None) -> LineJournal:
        journal = open_log(_STDOUT, config.log.format, share=partial(self._shared.outlet, row=row))
        configure_structlog(journal)
        return journal
