"""A session's connection to its backend: the place at a server, the socket, how it is made and how it ends.

The driver (`driver.py`) writes and awaits on `link`; here is what must happen exactly once: a place that was taken is
given back, a connection is closed or kept warm, a server that could not be used is reported to the pool.
"""

import contextlib

import trio

from smtproxy.network.link import Link
from smtproxy.network.pool import Holder, Place, Pool, Waiter
from smtproxy.network.sockets import EXHAUSTED, connected, start_connect
from smtproxy.network.tls import trouble as why_no_tls
from smtproxy.session import events
from smtproxy.session.upstream import Upstream

READ = 65536
"""Octets of replies read at once: below malloc's mmap threshold."""


class BackendSide:
    """At most one connection at a time, and the place that goes with it."""

    __slots__ = ("_connect_by", "_connect_time", "_hostname", "_place", "_pool", "link")

    def __init__(self, pool: Pool, hostname: str, connect_time: float) -> None:
        """Take places from a pool; say EHLO as `hostname`; a connection must be made in `connect_time` seconds."""
        self.link: Link | None = None
        self._pool = pool
        self._hostname = hostname
        self._connect_time = connect_time
        self._connect_by = 0.0
        """Until when the connection must have been made; 0: it was."""
        self._place: Place | None = None

    @property
    def spoke(self) -> bool:
        """Whether the server has said something, or ended the connection, that was not read."""
        return self.link is not None and self.link.spoke

    def take(self, effect: events.OpenBackend, holder: Holder) -> Place | events.BackendFailed | Waiter:
        """Return a place for `dial`, or why there is none, or a place in the line."""
        return self._pool.take(effect.tried, holder, fresh=effect.fresh)

    def leave_line(self, waiter: Waiter) -> None:
        """Wait no more; a place that came after all is not used."""
        self._pool.leave_line(waiter)

    def dial(self, place: Place) -> tuple[events.BackendOpened, events.BackendClosed | None]:
        """Begin to connect, or take the warm connection; return that, and what went wrong at once.

        Whether a connection was made shows in the first read: the server speaks first.
        """
        self._place, server, trouble = place, place.server, None
        if place.warm is not None:
            self.link = place.warm.link
            return events.BackendOpened(place.warm.upstream), None
        if server.address is None:
            trouble = events.BackendClosed("name not resolved")
        else:
            try:
                self.link = Link(start_connect(*server.address))
            except OSError as error:
                ours = error.errno in EXHAUSTED
                trouble = events.BackendClosed("" if ours else error.strerror or str(error))
        self._connect_by = trio.current_time() + self._connect_time
        return events.BackendOpened(self._pool.dialogue(server, self._hostname)), trouble

    def start_tls(self) -> events.BackendNotSecured | None:
        """Begin a handshake; return what went wrong at once."""
        if self.link is None or self._place is None:
            return events.BackendNotSecured("closed")
        try:
            self._pool.tls.start(self.link, self._place.server.endpoint.host)
        except OSError as error:
            return events.BackendNotSecured(why_no_tls(error))
        return None

    def connects_too_long(self, now: float) -> bool:
        """Return, once, whether the connection should have been made by now and was not."""
        if not self._connect_by or now < self._connect_by or self.link is None:
            return False
        self._connect_by = 0.0
        return not connected(self.link.sock)

    def read(self) -> events.BackendBytes | events.BackendClosed | None:
        """Read what the server said; None: nothing now."""
        if self.link is None:
            return events.BackendClosed("closed")
        try:
            octets = self.link.read(READ)
        except OSError as error:
            return events.BackendClosed(why_no_tls(error) or "reset")
        if octets is None:
            return None
        self._connect_by = 0.0
        return events.BackendBytes(octets) if octets else events.BackendClosed("closed")

    def end(self, effect: events.CloseBackend, *, spoke: bool) -> None:
        """Keep the connection warm where the relay allows it, else close it. `spoke`: it said what nobody asked for."""
        if effect.warm is not None and not spoke and self._keep(effect.warm):
            return
        if self.link is not None and effect.farewell:
            with contextlib.suppress(OSError):  # It may be gone already; a farewell is a courtesy.
                self.link.write(effect.farewell)
        if self._place is not None and effect.reason:
            self._pool.failed(self._place.server, effect.reason, effect.reply)
        if self._place is not None and effect.no_tls:
            self._pool.no_tls(self._place.server, effect.no_tls)
        self.drop()

    def _keep(self, upstream: Upstream) -> bool:
        if self.link is None or self._place is None or not self._pool.keep(self._place, self.link, upstream):
            return False
        self.link = self._place = None
        return True

    def drop(self) -> None:
        """Close the connection without a word and give its place back."""
        self._connect_by = 0.0
        if self.link is not None:
            self.link.close()
            self.link = None
        if self._place is not None:
            self._pool.give_back(self._place)
            self._place = None
