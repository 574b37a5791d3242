"""Turns on a pipe: of the processes that write lines to it, one at a time is in the middle of a line.

A pipe keeps a write whole up to PIPE_BUF (4,096 octets, pipe(7)); a longer line may be taken in part when the pipe is
nearly full, and another process's line would come between. So each write is made under a lock, and who could not finish
his line says so in memory that all share: until the rest is out, the others take the pipe for full. They do not wait.

If the process dies meanwhile, its supervisor takes its turn over and ends the line. (Files need none of this, and
neither do sockets, which take a line of up to some 32 KiB whole or not at all.)
"""

import contextlib
import os
import stat
from collections.abc import Callable
from dataclasses import replace

from smtproxy.app.log.outlet import Outlet

NOBODY = 0


class Turns:
    """Whose turn it is: who writes next, if somebody is in the middle of a line."""

    def __init__(self, lock: contextlib.AbstractContextManager[None], memory: memoryview) -> None:
        """Use four octets, 0 at first, and a lock that go with them."""
        self._lock = lock
        self._whose = memory.cast("i")

    def kept(self, outlet: Outlet, who: int) -> Outlet:
        """Return the outlet as this process (a number from 1) is to use it: the same, if it is no pipe."""
        if outlet.fd < 0 or not stat.S_ISFIFO(os.fstat(outlet.fd).st_mode):
            return outlet
        return replace(outlet, take=self._take(outlet.take, who))

    def inherit(self, dead: int, heir: int) -> bool:
        """A process has ended: pass its turn on; True: it had one, and somebody has to end the line."""
        with self._lock:
            had = self._whose[0] == dead
            if had:
                self._whose[0] = heir
        return had

    def _take(self, take: Callable[[bytes], int], who: int) -> Callable[[bytes], int]:
        lock, whose = self._lock, self._whose

        def take_turn(data: bytes) -> int:
            with lock:
                if whose[0] not in (NOBODY, who):
                    return 0
                try:
                    sent = take(data)
                except OSError:
                    whose[0] = NOBODY
                    raise
                if sent:
                    whose[0] = who if sent < len(data) else NOBODY
                return sent

        return take_turn
