"""The session driver: performs the effects of a relay on real sockets and awaits the one thing it waits for.

One trio task per session, no locks, no channels, no second task. Deadlines are numbers; the sweeper (`sweeper.py`)
compares them once a second and looks at the sockets of sessions that wait for something else than their client. What a
session is parked on, and how it is woken, is in `waiting.py`.

Effects are performed in the order they came. What can be done at once is done at once (`_AT_ONCE`); only what the
kernel does not take now is awaited (`_perform_slowly`). If something happens in between, the effects towards the
backend that are left were meant for another world and are dropped.

The driver decides nothing about mail. It must not send a terminator but for `Commit`, and whatever happens in here, the
session ends in `_end`, with its log lines written.
"""

import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar

import trio

from smtproxy.network.arrivals import Arrivals, queued
from smtproxy.network.backend import BackendSide
from smtproxy.network.gathering import Gathering, Sources
from smtproxy.network.identity import session_id
from smtproxy.network.inquiry import LARGEST_LOOKED_AT, MessageTooLarge, NotAtHand
from smtproxy.network.link import Link
from smtproxy.network.pool import Place, Pool, Waiter
from smtproxy.network.shelf import CHUNK, Shelf
from smtproxy.network.sockets import GONE, HALF_CLOSED, seen
from smtproxy.network.tls import agreed, trouble
from smtproxy.network.waiting import Waiting
from smtproxy.policy.judge import Policy
from smtproxy.policy.overload import Overload
from smtproxy.policy.quotas import Quotas
from smtproxy.policy.replies import Phrasebook
from smtproxy.session import events
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.memory import Memory
from smtproxy.session.networks import Network
from smtproxy.session.records import Event, Journal
from smtproxy.session.relay import Relay
from smtproxy.session.settings import RelaySettings
from smtproxy.session.tarpit import Tarpit
from smtproxy.session.verdicts import Stage

_COMMAND_READ = 65536
"""Octets read at once while commands are spoken: below malloc's mmap threshold."""
_LINGER = 2.0
"""Seconds a session that we ended waits for the client to close, so that a reset does not eat our last reply."""
_LINGER_OCTETS = 4194304


class _Slow:
    """Says that an effect cannot be finished at once."""


_SLOW = _Slow()
_NOTHING_SEEN = events.Looked()
_INTERRUPTIONS = (events.BackendClosed, events.BackendBytes, events.Withdrawn, events.ClientClosed)
_OF_BACKEND = (events.BackendClosed, events.BackendBytes)
_ENDS_AN_ANSWER = (events.ClientClosed, events.Shutdown)
_BODY = (events.Forward, events.ForwardKept)
_JUDGED = frozenset({Event.MESSAGE, Event.SESSION})
_TO_BACKEND = (events.Forward, events.ForwardKept, events.Commit, events.Look)


@dataclass(frozen=True, slots=True)
class Service:
    """What the sessions of one listener share."""

    settings: RelaySettings
    policy: Policy
    pool: Pool
    journal: Journal
    memory: Memory
    disk: Memory
    sources: Sources | None = None
    """Of facts; None: there are none, and every verdict is there on the spot."""
    tls: ssl.SSLContext | None = None
    """For clients; needed where the settings say that they may use TLS."""
    quotas: Quotas | None = None
    """The connections of all clients of the process; None: nobody counts them."""
    tarpit: Tarpit | None = None
    """The delayed sessions of the process; None: nothing bounds them."""
    overload: Overload | None = None
    """Whether the process has too much to do; None: nobody looks."""
    resets: bool = False
    """Whom a person has blocked is closed at accept, with a reset and without a word."""
    balancers: tuple[Network, ...] = ()
    """From these networks a connection begins with a PROXY protocol header."""
    spool: str | None = None
    """Directory of held bodies; None: the system's for temporary files."""


async def _arrived(_session: "Session") -> events.Event:
    return events.Started()


class Session:
    """One client's connection and its backend connection."""

    __slots__ = (
        "_arrivals",
        "_backend",
        "_client",
        "_gathering",
        "_id",
        "_left",
        "_phrases",
        "_quiet_at",
        "_relay",
        "_service",
        "_shelf",
        "_waiter",
        "_waiting",
        "counted_as",
    )

    def __init__(self, client: socket.socket, address: tuple[str, int], service: Service) -> None:
        """Take over an accepted connection from `address` (host, port)."""
        self._client = Link(client)
        self.counted_as: int | None = None
        """What the quotas call its client; None: they do not count it. The listener's business."""
        self._service = service
        self._id = session_id()
        settings = service.settings
        self._phrases = Phrasebook(settings.hostname, self._id, settings.contact, soft=settings.soft_bounce)
        dialogue = Dialogue(self._id, address[0], address[1], trio.current_time())
        self._gathering = Gathering(service.policy, dialogue, self._phrases, service.settings, service.sources)
        self._relay = Relay(
            dialogue,
            service.settings,
            self._phrases,
            service.pool.promised,
            service.memory,
            judge=self._gathering.judge,  # nothing of the session: what the relay holds must not hold the relay
            epoch=time.time_ns() / 1e9 - trio.current_time(),
            tarpit=service.tarpit,
        )
        if service.overload is not None:
            self._relay.heed(service.overload.stress)
        self._shelf: Shelf | None = None
        self._arrivals: Arrivals | None = None
        """When the client's unread octets came; None while there were none at the last look."""
        self._quiet_at = trio.current_time()
        """When the client's socket was last known to be empty."""
        self._backend = BackendSide(service.pool, service.settings.hostname, service.settings.limits.connect_time)
        self._waiting = Waiting()
        self._waiter: Waiter | None = None
        """Our place in the line for a backend connection."""
        self._left = b""
        """Octets of the present effect that the kernel has not taken yet."""

    # What the listener, the sweeper, the pool and the server see

    @property
    def link(self) -> Link:
        """The client's connection."""
        return self._client

    @property
    def client(self) -> str:
        """The client's address."""
        return self._relay.dialogue.client

    @property
    def patient(self) -> bool:
        """Whether the client was patient before, or has a good history."""
        return self._gathering.acquainted

    @property
    def good(self) -> bool:
        """Whether the client has a good history, or is exempt from every judgement."""
        return self._gathering.good

    def turned_away(self) -> None:
        """We have too much to do for a stranger."""
        self._gathering.turned_away()

    def blocked_at_accept(self) -> Mapping[str, object] | None:
        """Return the finding by which this client would be refused at CONNECT, as a person has blocked it."""
        return self._gathering.blocked_at_accept()

    def look_at_clock(self) -> None:
        """How long clients are waited for has changed: whoever waits for its client looks again with the next round."""
        if self._waiting.parked is self._client and not self._waiting.writing:
            self._waiting.due = 0.0

    def introduce(self, client: str, port: int) -> None:
        """Whose connection this is comes through a balancer. Before the relay hears of anything."""
        dialogue = self._relay.dialogue
        dialogue.proxy, dialogue.client, dialogue.port = dialogue.client, client, port

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

    @property
    def over(self) -> bool:
        """Whether all is said and done; it may still wait for its client to read that."""
        return self._relay.over

    def recall(self) -> None:
        """Others wait for our place."""
        if self._blocked_by_client:
            self._give_back()
            blocked = self._service.settings.limits.send_time - (self._waiting.due - trio.current_time())
            if self._relay.streaming and blocked >= self._service.settings.lease:
                # One that does not read its 354 sends no body either.
                self._waiting.wake(events.ClientClosed("timeout"))
        else:
            self._wish(events.Recall())

    def shut_down(self) -> None:
        """The proxy drains."""
        self._wish(events.Shutdown())

    def cut_off(self) -> None:
        """The proxy has drained long enough. A session whose message is committed goes on all the same."""
        self._waiting.wake(events.Shutdown(now=True))

    def sweep(self, now: float) -> None:
        """Look after a session that is parked: its deadline, and the sockets it is not listening to.

        Never raises: the task of the sweeper is everybody's, and a bug in one session ends that one.
        """
        try:
            self._look_after(now)
        except Exception as error:  # noqa: BLE001 - see above
            self._crashed(error)
            self._waiting.wake(events.Crashed())

    def _look_after(self, now: float) -> None:
        waiting, backend, client = self._waiting, self._backend, self._client
        if waiting.parked is None:
            return
        if not waiting.due:
            waiting.due = self._relay.deadline
        if waiting.mailbox and not (waiting.writing and now >= waiting.due):
            return  # Something waits its turn already; only a write that does not end is still to be ended.
        if backend.link is None and waiting.parked is client and not waiting.writing and now < waiting.due:
            return  # The common case: an idle client.
        if backend.connects_too_long(now):
            waiting.wake(events.BackendClosed("connect timeout"))
            return
        if now >= waiting.due:
            # A write that does not end is the end of that connection; everything else is the relay's to judge.
            stuck = events.ClientClosed("timeout") if waiting.parked is client else events.BackendClosed("stalled")
            waiting.wake(stuck if waiting.writing else events.Timeout())
        else:
            self._watch(now)

    def _watch(self, now: float) -> None:
        """Look at what the session is not listening to: its lease, a client that hung up, a backend that speaks."""
        waiting, backend, client = self._waiting, self._backend, self._client
        since = self._relay.recallable_since if self._blocked_by_client else None
        if since is not None and now - since >= self._service.settings.lease:
            self._give_back()
        if waiting.parked is not client or waiting.writing:
            gone = GONE if self._said_all else GONE | HALF_CLOSED
            if seen(client.sock, gone) & gone:
                waiting.wake(events.ClientClosed("lost"))
                return
        if (waiting.parked is not backend.link or waiting.writing) and backend.spoke:
            event = self._read_backend()
            if event is not None:
                waiting.wake(event)

    @property
    def _said_all(self) -> bool:
        """Whether a half-close of the client is no sign of its absence: it may have sent all that it had to say.

        Exim says MAIL, RCPT, BDAT ... LAST and QUIT in one write, and closes its half behind them.
        """
        return self._relay.dot_read or self._relay.unread or queued(self._client.sock) > 0

    @property
    def _blocked_by_client(self) -> bool:
        """Whether the session waits for its client to take an answer, and could do so until `send_time` is over."""
        return self._waiting.writing and self._waiting.parked is self._client

    def _give_back(self) -> None:
        """Give an idle backend connection back in the middle of a write: who reads no answers must not hold a place."""
        for effect in self._relay.release():
            self._AT_ONCE[type(effect)](self, effect)

    def _wish(self, event: events.Event) -> None:
        self._waiting.wish(event)
        if not self._waiting.writing and self._relay.waits_for is not events.Wait.BACKEND:
            self._waiting.unpark()

    # The session

    async def run(self, arrival: "Callable[[Session], Awaitable[events.Event]]" = _arrived) -> None:
        """Serve the client until the relay has finished. Raises nothing but cancellation.

        `arrival` says how it begins, once it is known who the client is.
        """
        relay = self._relay
        try:
            try:
                event: events.Event | None = await arrival(self)
                while event is not None:
                    now = trio.current_time()
                    effects = relay.handle(event, now)
                    if effects:
                        await self._perform(effects, now)
                    event = None if relay.over else await self._next_event()
            except Exception as error:  # noqa: BLE001 - a bug of ours ends this session, not the process
                self._crashed(error)
            finally:
                self._end()
            if relay.lingers:
                await self._linger()
        finally:
            self._client.close()

    async def _next_event(self) -> events.Event:
        """Await what the relay waits for."""
        relay, waiting = self._relay, self._waiting
        while True:
            called = waiting.take()
            if called is not None:
                return called
            wait = relay.waits_for
            if wait is events.Wait.CLIENT or wait is events.Wait.TLS:
                link = self._client
            elif wait is events.Wait.BACKEND and self._backend.link is not None:
                link = self._backend.link
            else:
                await waiting.mail(relay.deadline)
                continue
            if link.handshaking:
                event = await self._shake_hands(link)
                if event is not None:
                    return event
                continue
            silent = not link.can_read
            # Not in a coroutine of its own: each idle client waits here, and would keep 200 octets of it.
            waiting.parked, waiting.due = link, 0.0
            try:
                await link.readable()
            finally:
                waiting.parked = None
            if waiting.called:
                continue
            event = self._read_client(silent=silent) if link is self._client else self._read_backend()
            if event is not None:
                return event

    async def _shake_hands(self, link: Link) -> events.Event | None:
        """Go on with a handshake, and wait until more can be done; return what came of it, None: nothing yet."""
        ours = link is self._client
        try:
            if link.shake_hands():
                tls = agreed(link.tls)
                return events.Secured(tls) if ours else events.BackendSecured(tls)
        except OSError as error:
            why = trouble(error)
            return events.NotSecured(why) if ours else events.BackendNotSecured(why)
        await self._waiting.progress(link)
        return None

    def _read_client(self, *, silent: bool) -> events.Event | None:
        """Read from the client, whose socket was empty until this very moment if it was `silent`."""
        since = None
        if silent:
            self._quiet_at, self._arrivals = trio.current_time(), None
        try:
            if not silent:
                since = self._came_since()
            octets = self._client.read(self._relay.portion or (CHUNK if self._relay.in_body else _COMMAND_READ))
        except OSError:
            return events.ClientClosed("reset")
        if octets is None:
            return None
        return events.ClientBytes(octets, since) if octets else events.ClientClosed("closed")

    def _came_since(self) -> float:
        """Return when the octets that are about to be read came, at the earliest."""
        now, position = trio.current_time(), self._relay.dialogue.octets_in
        if self._arrivals is None:
            self._arrivals = Arrivals(self._quiet_at, position)
        return self._arrivals.reading(now, position, queued(self._client.sock) + self._client.pending)

    def _read_backend(self) -> events.Event | None:
        event = self._backend.read()
        if isinstance(event, events.BackendBytes) and self._relay.committed and seen(self._client.sock, GONE) & GONE:
            # After the commit the backend's words are for the client, and it is not there to hear them.
            return events.BackendBytes(event.octets, client_gone=True)
        return event

    # Effects

    async def _perform(self, effects: list[events.Effect], now: float) -> None:
        """Perform effects in order, and those that follow from what they are answered with."""
        for place, effect in enumerate(effects):
            answer = self._AT_ONCE[type(effect)](self, effect)
            if answer is None:
                continue
            if isinstance(answer, _Slow):
                slowly = await self._perform_slowly(effect)
                now = trio.current_time()
                if slowly is None:
                    continue
                answer = slowly
            if isinstance(effect, _BODY) and isinstance(answer, events.BackendBytes):
                answer = events.BackendBytes(answer.octets, early=True)
            if isinstance(answer, _INTERRUPTIONS) or isinstance(effect, _BODY):
                # Whatever cut a body off (a drain, too): what stands behind the hole must not leave. CRLF.CRLF made of
                # two ends that never met would commit a truncated mail, and its tail would be read as commands.
                left = [one for one in effects[place + 1 :] if not isinstance(one, _TO_BACKEND)]
                await self._perform(left + self._relay.handle(answer, now), now)
                return
            effects.extend(self._relay.handle(answer, now))

    def _send_answer(self, effect: events.Answer) -> "events.Event | _Slow | None":
        return self._write_client(effect.octets)

    def _send_on(self, effect: events.Forward) -> "events.Event | _Slow | None":
        link = self._backend.link
        return None if link is None else self._write_backend(link, effect.octets)

    def _send_terminator(self, effect: events.Commit) -> "events.Event | _Slow | None":
        link = self._backend.link
        return None if link is None else self._write_terminator(link, effect.octets)

    def _start_tls(self, _effect: events.StartTls) -> events.Event | None:
        context = self._service.tls
        try:
            if context is None:
                return events.NotSecured("no certificate")
            self._client.start_tls(context)
        except OSError as error:
            return events.NotSecured(trouble(error))
        return None

    def _secure_backend(self, _effect: events.SecureBackend) -> events.Event | None:
        return self._backend.start_tls()

    def _record(self, effect: events.Record) -> None:
        fields = effect.fields
        if effect.event in _JUDGED:
            fields = self._gathering.recorded(effect.event, fields)
        self._service.journal.record(effect.event, fields)
        if effect.event is Event.MESSAGE:
            # Behind the line, and within bounds: a bug in what is learned must cost neither it nor the session.
            with self._service.pool.boundary:
                self._service.pool.heard(fields)

    def _await_verdict(self, effect: events.Judge) -> events.Event | None:
        if effect.stage is Stage.MESSAGE:
            self._gathering.message = self._read_held
            reception = self._relay.held
            if reception is not None and not reception.on_disk and not reception.begun:
                self._gathering.has_message(reception.as_sent(b""))
        verdict = self._gathering.wait(effect.stage, self._waiting, self._relay.deadline)
        return None if verdict is None else events.Judged(verdict)

    async def _read_held(self) -> bytes:
        """Read the message that is being judged."""
        reception = self._relay.held
        if reception is None:
            raise NotAtHand
        if reception.begun:
            raise MessageTooLarge("streamed")
        if reception.intake.size > LARGEST_LOOKED_AT:
            raise MessageTooLarge("too large")
        self._gathering.make_room(reception.intake.size)
        make, pieces = reception.in_memory(), list[bytes]()
        if reception.on_disk and self._shelf is not None:
            async with aclosing(self._shelf.chunks()) as chunks:
                pieces.extend([octets async for octets in chunks])
        return await trio.to_thread.run_sync(lambda: make(b"".join(pieces)))

    def _drop_kept(self, _effect: events.DropKept) -> None:
        if self._shelf is not None:
            self._shelf.clear()

    def _slow(self, _effect: events.Effect) -> _Slow:
        return _SLOW

    def _done(self, _effect: events.Effect) -> None:
        """The end of the relay ends `run`."""

    async def _perform_slowly(self, effect: events.Effect) -> events.Event | None:
        """Finish an effect that must wait for something."""
        match effect:
            case events.Answer():
                return await self._finish_answer()
            case events.Forward() if self._backend.link is not None:
                return await self._finish_forward(self._backend.link)
            case events.Commit() if self._backend.link is not None:
                return await self._finish_commit(self._backend.link, effect.octets)
            case events.ForwardKept():
                return await self._send_kept()
            case events.Keep():
                if self._shelf is None:
                    self._shelf = Shelf(self._service.disk, self._service.spool)
                return events.Stored(await self._shelf.append(effect.octets))
            case events.OpenBackend():
                return await self._in_line()
            case _:
                return None

    def _write_client(self, octets: bytes) -> "events.Event | _Slow | None":
        try:
            taken = self._client.write(octets)
        except OSError:
            return events.ClientClosed("reset")
        self._left = octets[taken:]
        return _SLOW if self._left else None

    def _write_backend(self, link: Link, octets: bytes) -> "events.Event | _Slow | None":
        try:
            taken = link.write(octets)
        except OSError:
            # The backend takes no more: maybe it said why before it closed.
            event = self._read_backend()
            return event if isinstance(event, events.BackendBytes) else events.BackendClosed("closed")
        self._left = octets[taken:]
        return _SLOW if self._left else None

    def _write_terminator(self, link: Link, octets: bytes) -> "events.Event | _Slow | None":
        """Hand the terminator over. Where the kernel takes none of it, nothing that can be read is an answer to it.

        A stray 250 and a reset between the look and the dot: read after the failed write, the 250 was taken for the
        backend's word on a message it never got whole.
        """
        try:
            taken = link.write(octets)
        except OSError:
            return events.BackendClosed("closed")
        self._left = octets[taken:]
        return _SLOW if self._left else None

    async def _finish_answer(self) -> events.Event | None:
        due = trio.current_time() + self._service.settings.limits.send_time
        answer: events.Event | _Slow | None = _SLOW
        while answer is _SLOW:
            await self._waiting.writable(self._client, due)
            end = self._waiting.pull(_ENDS_AN_ANSWER)
            if end is not None:
                # Cut off: who takes no answer does not take a goodbye either.
                return end if isinstance(end, events.ClientClosed) else events.ClientClosed("timeout")
            answer = self._write_client(self._left)
        return None if isinstance(answer, _Slow) else answer

    async def _finish_forward(self, link: Link) -> events.Event | None:
        answer: events.Event | _Slow | None = _SLOW
        while answer is _SLOW:
            since = trio.current_time()
            await self._waiting.writable(link, self._transfer_due())
            self._relay.backend_took(trio.current_time() - since)
            if self._waiting.mailbox:
                # The backend spoke, the client left, or time is up: the rest of this must not leave.
                event = self._waiting.mailbox.pop(0)
                if isinstance(event, events.BackendBytes) and self._relay.awaits_replies:
                    # Commands that were cut off in the middle: nothing more can be said on this connection.
                    return events.BackendClosed("spoke before the end")
                return event
            answer = self._write_backend(link, self._left)
        return None if isinstance(answer, _Slow) else answer

    def _transfer_due(self) -> float:
        """Until when a block must be taken by the backend; behind the final dot no later than `commit_by` allows."""
        due = trio.current_time() + self._service.settings.limits.transfer_time
        return min(due, self._relay.deadline) if self._relay.dot_read else due

    async def _finish_commit(self, link: Link, octets: bytes) -> events.Event | None:
        """Hand the rest of the terminator over; from its first octet on only the end-of-data timer ends the wait.

        As long as the kernel, filled by the body, has taken none of it, nothing is committed: the client must be there,
        and `commit_by` counts. Behind the first octet a client that leaves stays in the mailbox: it is no reason to
        send half a terminator. A backend that speaks before it has the whole of it has not answered it.
        """
        answer: events.Event | _Slow | None = _SLOW
        while answer is _SLOW:
            whole = len(self._left) == len(octets)
            await self._waiting.writable(link, self._relay.commit_due if whole else self._relay.deadline)
            if whole and self._waiting.holds(_INTERRUPTIONS):
                return events.Withdrawn()
            if self._waiting.holds(_OF_BACKEND):
                return events.BackendClosed("spoke before the end")
            answer = self._write_terminator(link, self._left)
        return None if isinstance(answer, _Slow) else answer

    async def _send_kept(self) -> events.Event | None:
        link, shelf = self._backend.link, self._shelf
        if link is None or shelf is None:
            return events.BackendClosed("closed")
        async with aclosing(shelf.chunks()) as chunks:
            async for octets in chunks:
                # Before a piece, not behind it: behind the last one of a chunk what it says is the answer it owes.
                early = self._read_backend() if self._backend.spoke else None
                answer = self._write_backend(link, octets) if early is None else early
                if answer is _SLOW:
                    answer = await self._finish_forward(link)
                if answer is not None and not isinstance(answer, _Slow):
                    return answer
        return None

    def _look(self, effect: events.Look) -> events.Looked:
        """Read the backend without blocking; see whether the client is gone."""
        octets, closed = b"", False
        if self._backend.spoke:
            event = self._read_backend()
            if isinstance(event, events.BackendBytes):
                octets = event.octets
            closed = isinstance(event, events.BackendClosed)
        gone = False
        if effect.client:
            interest = GONE if self._relay.dot_read else GONE | HALF_CLOSED
            gone = bool(seen(self._client.sock, interest) & interest)
        return events.Looked(octets, closed, gone) if octets or closed or gone else _NOTHING_SEEN

    # The backend's connection

    def _open_backend(self, effect: events.OpenBackend) -> "events.Event | _Slow":
        got = self._backend.take(effect, self)
        if isinstance(got, Waiter):
            self._waiter = got
            return _SLOW
        return got if isinstance(got, events.BackendFailed) else self._dial(got)

    async def _in_line(self) -> events.Event:
        """Wait for a place, as long as the relay does."""
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return events.BackendFailed("none")
        mailbox = self._waiting.mailbox
        try:
            await self._waiting.arrival(waiter.arrived, self._relay.deadline)
        finally:
            if waiter.place is None or mailbox:
                self._backend.leave_line(waiter)
        if mailbox:
            return mailbox.pop(0)
        return events.BackendFailed("none") if waiter.place is None else self._dial(waiter.place)

    def _dial(self, place: Place) -> events.Event:
        opened, trouble = self._backend.dial(place)
        if trouble is not None:
            self._waiting.mailbox.append(trouble)
        return opened

    def _close_backend(self, effect: events.CloseBackend) -> None:
        # What was heard of this connection and waits its turn is nobody's: it must not be taken for the next one's.
        spoke = self._waiting.holds(_OF_BACKEND)
        if spoke:
            self._waiting.forget(_OF_BACKEND)
        self._backend.end(effect, spoke=spoke)

    _AT_ONCE: ClassVar[Mapping[type[events.Effect], Callable[["Session", Any], "events.Event | _Slow | None"]]] = {
        events.Answer: _send_answer,
        events.StartTls: _start_tls,
        events.SecureBackend: _secure_backend,
        events.Look: _look,
        events.Forward: _send_on,
        events.Commit: _send_terminator,
        events.Record: _record,
        events.CloseBackend: _close_backend,
        events.OpenBackend: _open_backend,
        events.DropKept: _drop_kept,
        events.ForwardKept: _slow,
        events.Keep: _slow,
        events.Judge: _await_verdict,
        events.Finish: _done,
    }
    """How an effect is performed if it can be done at once; returns the event it is answered with, or `_SLOW`."""

    # The end

    def _crashed(self, error: Exception) -> None:
        self._service.journal.record(
            Event.CRASH,
            {"session": self._id, "where": "session", "error": error, "traceback": error.__traceback__},
        )

    def _end(self) -> None:
        """Whatever happened: the log lines are written, last words said if the client takes them, nothing is held."""
        relay = self._relay
        if not relay.over:
            try:
                for effect in relay.handle(events.Crashed(), trio.current_time()):
                    match effect:
                        case events.Record():
                            self._record(effect)
                        case events.Answer():
                            self._client.write(effect.octets)
                        case _:
                            pass
            except OSError:
                pass  # The client is gone, too.
            except Exception as error:  # noqa: BLE001 - the relay itself is broken: what is left is to say so
                self._crashed(error)
        self._gathering.close()
        self._backend.drop()
        if self._shelf is not None:
            self._shelf.clear()

    async def _linger(self) -> None:
        """Let the client read our last reply: closing with its octets unread would reset the connection and eat it."""
        client = self._client
        try:
            client.say_last()
        except OSError:
            return
        left = _LINGER_OCTETS
        with trio.move_on_after(_LINGER):
            while left > 0:
                await client.readable()
                try:
                    octets = client.read(_COMMAND_READ)
                except OSError:
                    return
                if octets == b"":
                    return
                left -= len(octets or b"")
