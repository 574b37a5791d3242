"""The session driver: performs the effects of a relay on real sockets and awaits the one thing it waits for.

One trio task per session, no locks, no channels, no second task. Deadlines are numbers; the sweeper (`sweeper.py`)
compares them once a second and looks at the sockets of sessions that wait for something else than their client. To
wake a session it leaves an event in its mailbox and calls `notify_closing` on the descriptor the session is parked on
(or sets the session's own trio event): no cancel scope is needed per wait (PERFORMANCE sections 3 and 5).

The driver decides nothing about mail. It must not send a terminator but for `Commit`, and whatever happens in here, the
session ends in `_end`, with its log lines written.
"""

import contextlib
import select
import socket
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio

from smtproxy.network.identity import session_id
from smtproxy.network.pool import Place, Pool, Waiter
from smtproxy.network.shelf import CHUNK, Shelf
from smtproxy.network.sockets import GONE, HALF_CLOSED, SPOKE, close, connected, seen, start_connect
from smtproxy.policy.evidence import Evidence
from smtproxy.policy.judge import Policy
from smtproxy.policy.replies import Phrasebook
from smtproxy.session import events
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.memory import Memory
from smtproxy.session.records import Event, Journal
from smtproxy.session.relay import Relay
from smtproxy.session.settings import RelaySettings
from smtproxy.session.upstream import Upstream

_COMMAND_READ = 65536
"""Octets read at once while commands are spoken: below malloc's mmap threshold."""
_LINGER = 2.0
"""Seconds a session that we ended waits for the client to close, so that a reset does not eat our last reply."""
_LINGER_OCTETS = 4194304


@dataclass(frozen=True, slots=True)
class Service:
    """What the sessions of one listener share."""

    settings: RelaySettings
    policy: Policy
    pool: Pool
    journal: Journal
    memory: Memory
    disk: Memory
    spool: str | None = None
    """Directory of held bodies; None: the system's for temporary files."""


class Session:
    """One client's connection and its backend connection."""

    __slots__ = (
        "_backend",
        "_backend_dialling",
        "_client",
        "_clock",
        "_due",
        "_id",
        "_mailbox",
        "_parked",
        "_phrases",
        "_place",
        "_relay",
        "_service",
        "_shelf",
        "_wishes",
        "_write_due",
    )

    def __init__(self, client: socket.socket, address: tuple[str, int], service: Service) -> None:
        """Take over an accepted connection from `address` (host, port)."""
        self._client = client
        self._service = service
        self._clock: Callable[[], float] = trio.current_time
        self._id = session_id()
        self._phrases = Phrasebook(service.settings.hostname, self._id)
        self._relay = Relay(
            Dialogue(self._id, address[0], address[1]),
            service.settings,
            self._phrases,
            service.pool.offered,
            service.memory,
            epoch=time.time_ns() / 1e9 - self._clock(),
        )
        self._shelf: Shelf | None = None
        self._backend: socket.socket | None = None
        self._backend_dialling = 0.0
        """Until when a connection must have been made; 0: it was."""
        self._place: Place | None = None
        self._mailbox: deque[events.Event] = deque()
        """Events that interrupt whatever is going on."""
        self._wishes: deque[events.Event] = deque()
        """Events that can wait until the session waits for something (Recall, Shutdown)."""
        self._parked: socket.socket | trio.Event | None = None
        self._due = 0.0
        self._write_due = 0.0

    # What the sweeper and the pool see

    @property
    def recallable_since(self) -> float | None:
        """Since when a place is held without use."""
        return self._relay.recallable_since

    @property
    def streaming(self) -> bool:
        """Whether a body is being passed on as it comes."""
        return self._relay.streaming

    @property
    def committed(self) -> bool:
        """Whether nothing but the backend's reply or its timer may end this session."""
        return self._relay.committed

    def recall(self) -> None:
        """Others wait for our place."""
        self._wish(events.Recall())

    def shut_down(self) -> None:
        """The proxy drains."""
        self._wish(events.Shutdown())

    def cut_off(self) -> None:
        """The proxy has drained long enough. A session whose message is committed goes on all the same."""
        self._wake(events.Shutdown(now=True))

    def sweep(self, now: float) -> None:
        """Look after a session that is parked: its deadline, and the sockets it is not listening to."""
        parked, backend, client = self._parked, self._backend, self._client
        if parked is None or self._mailbox:
            return
        if backend is None and parked is client and not self._write_due and now < self._due:
            return  # The common case: an idle client.
        if self._backend_dialling and now >= self._backend_dialling and backend is not None:
            self._backend_dialling = 0.0
            if not connected(backend):
                self._wake(events.BackendClosed("connect timeout"))
                return
        if now >= self._due:
            # A write that does not end is the end of that connection; everything else is the relay's to judge.
            stuck = events.ClientClosed("timeout") if parked is client else events.BackendClosed("stalled")
            self._wake(stuck if self._write_due else events.Timeout())
            return
        relay = self._relay
        if parked is not client or self._write_due:
            gone = GONE if relay.dot_read else GONE | HALF_CLOSED
            if seen(client, gone) & gone:
                self._wake(events.ClientClosed("lost"))
                return
        if backend is not None and (parked is not backend or self._write_due) and seen(backend, SPOKE):
            event = self._read_backend(backend)
            if event is not None:
                self._wake(event)

    def _wake(self, event: events.Event) -> None:
        self._mailbox.append(event)
        self._unpark()

    def _wish(self, event: events.Event) -> None:
        self._wishes.append(event)
        if not self._write_due and self._relay.waits_for is not events.Wait.BACKEND:
            self._unpark()

    def _unpark(self) -> None:
        parked = self._parked
        if isinstance(parked, trio.Event):
            parked.set()
        elif parked is not None:
            trio.lowlevel.notify_closing(parked)

    # The session

    async def run(self) -> None:
        """Serve the client until the relay has finished. Raises nothing but cancellation."""
        try:
            try:
                await self._handle(events.Started())
                while not self._relay.over:
                    await self._handle(await self._next_event())
            except Exception as error:  # noqa: BLE001 - a bug of ours ends this session, not the process
                self._crashed(error)
            finally:
                self._end()
            if self._relay.lingers:
                await self._linger()
        finally:
            close(self._client)

    async def _next_event(self) -> events.Event:
        """Await what the relay waits for."""
        mailbox, wishes = self._mailbox, self._wishes
        while not mailbox and not wishes:
            match self._relay.waits_for:
                case events.Wait.CLIENT:
                    event = await self._from_client()
                case events.Wait.BACKEND if self._backend is not None:
                    event = await self._from_backend(self._backend)
                case _:
                    event = await self._nothing()
            if event is not None:
                return event
        return mailbox.popleft() if mailbox else wishes.popleft()

    async def _from_client(self) -> events.Event | None:
        relay = self._relay
        in_body = relay.in_body
        if not in_body:
            await self._readable(self._client)
            if self._interrupted:
                return None
        while True:
            try:
                octets = self._client.recv(CHUNK if in_body else _COMMAND_READ)
            except BlockingIOError:
                await self._readable(self._client)
                if self._interrupted:
                    return None
                continue
            except OSError:
                return events.ClientClosed("reset")
            return events.ClientBytes(octets) if octets else events.ClientClosed("closed")

    async def _from_backend(self, backend: socket.socket) -> events.Event | None:
        await self._readable(backend)
        return None if self._interrupted else self._read_backend(backend)

    @property
    def _interrupted(self) -> bool:
        return bool(self._mailbox or self._wishes)

    def _read_backend(self, backend: socket.socket) -> events.Event | None:
        try:
            octets = backend.recv(_COMMAND_READ)
        except BlockingIOError:
            return None
        except OSError as error:
            return events.BackendClosed(error.strerror or "reset")
        self._backend_dialling = 0.0
        return events.BackendBytes(octets) if octets else events.BackendClosed("closed")

    async def _nothing(self) -> events.Event | None:
        """Wait for the mailbox alone: a delay, or a verdict that is not there yet."""
        waked = trio.Event()
        self._parked, self._due = waked, self._relay.deadline
        pause = self._due - self._clock()
        try:
            # A delay of 0.3 s is not to last until the sweeper's next round.
            with trio.move_on_after(max(0.0, pause)):
                await waked.wait()
        finally:
            self._parked = None
        return None if self._interrupted else events.Timeout()

    async def _readable(self, sock: socket.socket) -> None:
        """Wait until a socket can be read, or the mailbox has something."""
        self._parked, self._due = sock, self._relay.deadline
        try:
            await trio.lowlevel.wait_readable(sock)
        except trio.ClosedResourceError:
            pass  # Woken: the event lies in the mailbox.
        finally:
            self._parked = None

    async def _writable(self, sock: socket.socket, due: float) -> None:
        self._parked, self._due, self._write_due = sock, due, due
        try:
            await trio.lowlevel.wait_writable(sock)
        except trio.ClosedResourceError:
            pass  # Woken: the event lies in the mailbox.
        finally:
            self._parked = None
            self._write_due = 0.0

    # Effects

    async def _handle(self, event: events.Event) -> None:
        """Give the relay an event and perform what it wants done."""
        relay = self._relay
        effects = deque(relay.handle(event, self._clock()))
        while effects:
            effect = effects.popleft()
            answer = self._perform_now(effect)
            if answer is _SLOW:
                answer = await self._perform(effect)
            if isinstance(answer, events.BackendClosed | events.BackendBytes | events.ClientClosed):
                # Something came between the effects: those towards the backend were meant for another world.
                effects = deque(one for one in effects if not isinstance(one, _TO_BACKEND))
            if answer is not None and not isinstance(answer, _Slow):
                effects.extend(relay.handle(answer, self._clock()))

    def _perform_now(self, effect: events.Effect) -> "events.Event | _Slow | None":
        """Perform an effect that cannot block; return the event it is answered with, if any."""
        match effect:
            case events.Judge():
                evidence = Evidence(effect.stage, self._relay.dialogue)
                return events.Judged(self._service.policy.judge(evidence, self._phrases))
            case events.Look():
                return self._look(client=effect.client)
            case events.Record():
                self._service.journal.record(effect.event, effect.fields)
                return None
            case events.CloseBackend():
                self._close_backend(effect)
                return None
            case events.DropKept():
                if self._shelf is not None:
                    self._shelf.clear()
                return None
            case events.Finish():
                return None
            case _:
                return _SLOW

    async def _perform(self, effect: events.Effect) -> events.Event | None:
        match effect:
            case events.Answer():
                return await self._send_client(effect.octets)
            case events.Forward():
                return await self._send_backend(effect.octets)
            case events.Commit():
                return await self._send_terminator(effect.octets)
            case events.ForwardKept():
                return await self._send_kept()
            case events.Keep():
                if self._shelf is None:
                    self._shelf = Shelf(self._service.disk, self._service.spool)
                return events.Stored(await self._shelf.append(effect.octets))
            case events.OpenBackend():
                return await self._open_backend(effect)
            case _:
                return None

    async def _send_client(self, octets: bytes) -> events.Event | None:
        client, view = self._client, octets
        due = 0.0
        while True:
            try:
                view = view[client.send(view) :]
            except BlockingIOError:
                due = due or self._clock() + self._service.settings.limits.send_time
                await self._writable(client, due)
                gone = next((one for one in self._mailbox if isinstance(one, events.ClientClosed)), None)
                if gone is not None:
                    self._mailbox.remove(gone)
                    return gone
                continue
            except OSError:
                return events.ClientClosed("reset")
            if not view:
                return None

    async def _send_backend(self, octets: bytes) -> events.Event | None:
        backend = self._backend
        if backend is None:
            return None
        view = memoryview(octets)
        while True:
            try:
                view = view[backend.send(view) :]
            except BlockingIOError:
                await self._writable(backend, self._transfer_due())
                if self._mailbox:
                    # The backend spoke, the client left, or time is up: the rest of this must not leave.
                    return self._mailbox.popleft()
                continue
            except OSError:
                return self._last_words(backend)
            if not view:
                return None

    def _transfer_due(self) -> float:
        """Until when a block must be taken by the backend; behind the final dot no later than `commit_by` allows."""
        due = self._clock() + self._service.settings.limits.transfer_time
        return min(due, self._relay.deadline) if self._relay.dot_read else due

    def _last_words(self, backend: socket.socket) -> events.Event:
        """The backend took no more: maybe it said why before it closed."""
        event = self._read_backend(backend)
        return event if isinstance(event, events.BackendBytes) else events.BackendClosed("closed")

    async def _send_terminator(self, octets: bytes) -> events.Event | None:
        """Hand the terminator over. From its first octet on nothing but the end-of-data timer ends the wait.

        A client that leaves meanwhile stays in the mailbox: it is no reason to send half a terminator. A backend that
        speaks before it has the whole of it has not answered it.
        """
        backend = self._backend
        if backend is None:
            return events.BackendClosed("closed")
        view = memoryview(octets)
        while True:
            try:
                view = view[backend.send(view) :]
            except BlockingIOError:
                await self._writable(backend, self._relay.deadline)
                if any(isinstance(one, events.BackendBytes | events.BackendClosed) for one in self._mailbox):
                    return events.BackendClosed("spoke before the end")
                continue
            except OSError:
                return self._last_words(backend)
            if not view:
                return None

    async def _send_kept(self) -> events.Event | None:
        backend, shelf = self._backend, self._shelf
        if backend is None or shelf is None:
            return events.BackendClosed("closed")
        async for octets in shelf.chunks():
            event = await self._send_backend(octets)
            if event is None and seen(backend, SPOKE):
                event = self._read_backend(backend)
            if event is not None:
                return event
        return None

    def _look(self, *, client: bool) -> events.Looked:
        """Read the backend without blocking; see whether the client is gone."""
        backend = self._backend
        octets, closed = b"", False
        if backend is not None:
            try:
                octets = backend.recv(_COMMAND_READ)
                closed = not octets
            except BlockingIOError:
                pass
            except OSError:
                closed = True
        gone = False
        if client:
            interest = GONE if self._relay.dot_read else GONE | HALF_CLOSED
            gone = bool(seen(self._client, interest | select.POLLOUT) & interest)
        return events.Looked(octets, closed, gone)

    # The backend's connection

    async def _open_backend(self, effect: events.OpenBackend) -> events.Event | None:
        pool = self._service.pool
        got: Place | events.Event | Waiter | None = pool.take(effect.tried, self)
        if isinstance(got, Waiter):
            got = await self._in_line(got)
        if not isinstance(got, Place):
            return got
        self._place = got
        server = got.server
        if server.address is None:
            self._mailbox.append(events.BackendClosed("name not resolved"))
        else:
            try:
                self._backend = start_connect(*server.address)
            except OSError as error:
                self._mailbox.append(events.BackendClosed(error.strerror or str(error)))
        self._backend_dialling = self._clock() + self._service.settings.limits.connect_time
        return events.BackendOpened(Upstream(server.name, self._service.settings.hostname, extended=server.extended))

    async def _in_line(self, waiter: Waiter) -> "Place | events.Event | None":
        """Wait for a place, as long as the relay does."""
        self._parked, self._due = waiter.arrived, self._relay.deadline
        try:
            await waiter.arrived.wait()
        finally:
            self._parked = None
            if waiter.place is None or self._mailbox:
                self._service.pool.leave_line(waiter)
        if self._mailbox:
            event = self._mailbox.popleft()
            return events.BackendFailed("full") if isinstance(event, events.Timeout) else event
        return waiter.place

    def _close_backend(self, effect: events.CloseBackend) -> None:
        backend, place = self._backend, self._place
        if backend is not None:
            if effect.farewell:
                with contextlib.suppress(OSError):  # It may be gone already; a farewell is a courtesy.
                    backend.send(effect.farewell)
            close(backend)
            self._backend = None
        self._backend_dialling = 0.0
        if place is not None and effect.reason:
            self._service.pool.failed(place.server, effect.reason, effect.reply)
        self._give_place_back()

    def _give_place_back(self) -> None:
        if self._place is not None:
            self._service.pool.give_back(self._place)
            self._place = None

    # The end

    def _crashed(self, error: Exception) -> None:
        self._service.journal.record(
            Event.CRASH,
            {
                "session": self._id,
                "where": "session",
                "error": f"{type(error).__name__}: {error}",
                "traceback": "".join(traceback.format_exception(error))[-4000:],
            },
        )

    def _end(self) -> None:
        """Whatever happened: the log lines are written, last words said if the client takes them, nothing is held."""
        relay = self._relay
        if not relay.over:
            try:
                for effect in relay.handle(events.Crashed(), self._clock()):
                    match effect:
                        case events.Record():
                            self._service.journal.record(effect.event, effect.fields)
                        case events.Answer():
                            self._client.send(effect.octets)
                        case _:
                            pass
            except OSError:
                pass  # The client is gone, too.
            except Exception as error:  # noqa: BLE001 - the relay itself is broken: what is left is to say so
                self._crashed(error)
        if self._backend is not None:
            close(self._backend)
            self._backend = None
        self._give_place_back()
        if self._shelf is not None:
            self._shelf.clear()

    async def _linger(self) -> None:
        """Let the client read our last reply: closing with its octets unread would reset the connection and eat it."""
        client = self._client
        try:
            client.shutdown(socket.SHUT_WR)
        except OSError:
            return
        left = _LINGER_OCTETS
        with trio.move_on_after(_LINGER):
            while left > 0:
                await trio.lowlevel.wait_readable(client)
                try:
                    octets = client.recv(_COMMAND_READ)
                except OSError:
                    return
                if not octets:
                    return
                left -= len(octets)


class _Slow:
    """Says that an effect may block."""


_SLOW = _Slow()
_TO_BACKEND = (events.Forward, events.ForwardKept, events.Commit, events.Look)
