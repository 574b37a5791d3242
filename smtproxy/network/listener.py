"""Listeners: accept connections, give each a session, and survive whatever a session does.

An own loop instead of `trio.serve_listeners`, which ends with the first handler that raises and costs twice the CPU.
"""

import socket
from collections.abc import Mapping

import trio

from smtproxy.network.arrivals import queued
from smtproxy.network.driver import Service, Session
from smtproxy.network.proxy_protocol import HeaderError, introduced
from smtproxy.network.sockets import EXHAUSTED, prepare, reset_when_closed
from smtproxy.policy.quotas import Excess
from smtproxy.session import events
from smtproxy.session.answers import Own
from smtproxy.session.networks import address_of, within
from smtproxy.session.records import Event
from smtproxy.session.verdicts import Stage

BATCH = 64
"""Connections accepted per wake-up before other tasks get their turn."""
FEW = 4
"""The same where several workers share the socket: who took all that wait would serve them alone, for as long as they
stay, and the others would have nothing to do. One at a time is fairer still, and costs a tenth of a small message."""
PAUSE = 0.1
"""Seconds to wait when no connection can be accepted; as trio's own listeners do."""


class Listener:
    """One listening socket."""

    def __init__(
        self, sock: socket.socket, service: Service, sessions: set[Session], most: int, *, batch: int = BATCH
    ) -> None:
        """Accept from `sock`, so many per wake-up.

        `sessions` is the set of all sessions of the worker, `most` how many there may be.
        """
        self._batch = batch
        self._socket = sock
        self._service = service
        self._sessions = sessions
        self._most = most
        self._paused_at: float | None = None

    async def serve(self, nursery: trio.Nursery) -> None:
        """Accept for ever; sessions run in `nursery`."""
        while True:
            full = self._full
            if full:
                await self._pause(full)
                continue
            await trio.lowlevel.wait_readable(self._socket)
            for _ in range(self._batch):
                try:
                    client, address = self._socket.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in EXHAUSTED:
                        # Wait, do not die: the kernel keeps the clients in its queue.
                        await self._pause(error.strerror or "no descriptor left")
                        break
                    continue  # The client gave up between SYN and accept.
                self._resume()
                self._begin(client, address, nursery)
                if self._full:
                    break

    @property
    def _full(self) -> str:
        """Why nobody can be accepted; empty: there is room."""
        if len(self._sessions) >= self._most:
            return "sessions: the limit is reached"
        overload = self._service.overload
        return "overload: no more can be done" if overload is not None and overload.paused else ""

    def _begin(self, client: socket.socket, address: tuple[str, int], nursery: trio.Nursery) -> None:
        try:
            prepare(client)
            session = Session(client, (address[0], address[1]), self._service)
        except OSError:
            client.close()
            return
        self._sessions.add(session)
        nursery.start_soon(self._run, session)

    async def _run(self, session: Session) -> None:
        quotas = self._service.quotas
        try:
            await session.run(self._arrival)
        finally:
            self._sessions.discard(session)
            if quotas is not None and session.counted_as is not None:
                quotas.leave(session.counted_as)

    async def _arrival(self, session: Session) -> events.Event:
        """Find out who the client is, whether it is served at all, has room, and not too many connections already."""
        service, checks_us = self._service, False
        if service.balancers and within(address_of(session.client), service.balancers):
            try:
                client = await introduced(session.link, service.settings.limits)
            except HeaderError as error:
                session.introduce("", 0)
                return _turned_away("proxy_header", "proxy_protocol", str(error), "drop")
            if client is not None:
                session.introduce(*client)
            checks_us = client is None
        found = session.blocked_at_accept() if service.resets else None
        if found is not None:
            reset_when_closed(session.link.sock)
            return events.TurnedAway("refused", str(found["check"]), found)
        overload, good = service.overload, False
        if overload is not None:
            good = checks_us or session.good  # a balancer whose checks were refused would send nobody any more
            if not overload.admits(len(self._sessions), good=good):
                session.turned_away()
                crowd = {"sessions": len(self._sessions), "room": overload.room}
                return _turned_away("refused", "overload", "stranger", "defer", crowd, Own.OVERLOADED)
        if service.quotas is not None:
            entered = service.quotas.enter(address_of(session.client), trio.current_time())
            if isinstance(entered, Excess):
                saw = {"network": entered.client, "limit": entered.limit}
                return _turned_away("refused", "quotas", entered.reason, "defer", saw, entered.says)
            session.counted_as = entered
        return events.Started(early=queued(session.link.sock) > 0, known=session.patient, good=good)

    async def _pause(self, reason: str) -> None:
        if self._paused_at is None:
            self._paused_at = trio.current_time()
            self._service.journal.record(
                Event.ACCEPT_PAUSED, {"listener": self._service.settings.listener, "reason": reason}
            )
        await trio.sleep(PAUSE)

    def _resume(self) -> None:
        if self._paused_at is not None:
            self._service.journal.record(
                Event.ACCEPT_RESUMED,
                {
                    "listener": self._service.settings.listener,
                    "paused": round(trio.current_time() - self._paused_at, 1),
                },
            )
            self._paused_at = None


def _turned_away(
    ended: str,
    by: str,
    reason: str,
    action: str,
    saw: Mapping[str, object] | None = None,
    says: Own | None = None,
) -> events.TurnedAway:
    note = {"check": by, "stage": Stage.CONNECT.value, "reason": reason, "action": action, **(saw or {})}
    return events.TurnedAway(ended, by, note, says)
