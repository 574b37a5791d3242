"""Warm connections: backend connections that went well and wait a moment for the next session. DESIGN section 4.

Greeting, hello and goodbye are a fifth of what a small message costs, here and at the backend. What may be kept is
decided by `session/carriage.py` (`_warm`): a message was delivered on it, nothing was refused or given up, nothing is
open. Here it is bounded in number, age and use, looked at every second and when it is taken: one that spoke or ended
meanwhile is closed, not used. It holds its place below `max_connections` all the while.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from smtproxy.network.link import Link
from smtproxy.session.upstream import Upstream

MESSAGES = 100
"""Messages after which a connection is not kept any more. Exchange counts errors and rates by connection; Exim, too,
ends a connection after a number of messages (smtp_accept_max_per_connection = 1000)."""


@dataclass(frozen=True, slots=True)
class Warm:
    """A connection that waits."""

    server: str
    """host:port."""
    link: Link
    upstream: Upstream
    since: float
    give_back: Callable[[], None]
    """Gives its place back to the pool."""


class WarmConnections:
    """All warm connections of a backend."""

    def __init__(self, most: int, seconds: float) -> None:
        """Keep at most `most` connections per server, each for `seconds`."""
        self._most = most
        self._seconds = seconds
        self._kept: list[Warm] = []

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._kept)

    def may_serve(self, upstream: Upstream) -> bool:
        """Whether a connection may serve another session: it is not used up, and any are kept here."""
        return self._most > 0 and upstream.messages < MESSAGES

    def keep(self, warm: Warm) -> bool:
        """Take a connection over, if there is room for it and it is not used up; else it stays the caller's."""
        if not self.may_serve(warm.upstream):
            return False
        if sum(one.server == warm.server for one in self._kept) >= self._most:
            return False
        self._kept.append(warm)
        return True

    def take(self, server: str) -> Warm | None:
        """Hand out the connection to a server that was used last; the longest idle ones are left to end."""
        for place in range(len(self._kept) - 1, -1, -1):
            warm = self._kept[place]
            if warm.server == server:
                del self._kept[place]
                if not warm.link.spoke:
                    return warm
                _close(warm)
        return None

    def evict(self, server: str) -> bool:
        """Close one connection to a server to make room for a new one; return whether there was one."""
        for warm in self._kept:
            if warm.server == server:
                self._kept.remove(warm)
                _close(warm)
                return True
        return False

    def tidy(self, now: float) -> None:
        """Close what has waited too long, and what spoke or ended. Called once a second."""
        for warm in tuple(self._kept):
            if now - warm.since >= self._seconds or warm.link.spoke:
                self._kept.remove(warm)
                _close(warm)

    def stop(self) -> None:
        """Close all of them, and keep none any more."""
        self._most = 0
        self.clear()

    def clear(self) -> None:
        """Close all of them."""
        kept, self._kept = self._kept, []
        for warm in kept:
            _close(warm)


def dismiss(link: Link) -> None:
    """Say goodbye on a connection that nobody needs, and close it."""
    with contextlib.suppress(OSError):  # It may be gone already; a farewell is a courtesy.
        link.write(b"QUIT\r\n")
    link.close()


def _close(warm: Warm) -> None:
    dismiss(warm.link)
    warm.give_back()
