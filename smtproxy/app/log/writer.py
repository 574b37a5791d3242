"""Whole lines to one descriptor, from the session's own hand: written at once if it takes them, else queued.

Must never block, raise, tear or reorder a line. A queue with a writer thread would cost 13 % of a small message's
CPU, and its lines would be lost by kill -9; so the queue (`backlog`) is the exception here: it holds what a stalled
reader leaves, and one task drains it. Once a line waits, all later lines wait behind it.

A broken descriptor (EPIPE) loses each line at once, is tried again with the next one, and the report of what was lost
follows the first line that got through.

Between *processes* that share a pipe, lines up to PIPE_BUF (4,096 octets) are atomic, by pipe(7); that longer ones stay
whole, too, is the matter of `turns`.

Threads: all writing is done by the thread that runs `drain()` (until then: the one that made the writer). Lines from
other threads, and from a signal handler or finalizer that interrupts a write, are handed over to it through a bounded
inbox.
"""

import errno
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import get_ident

import trio

from smtproxy.app.log.backlog import Backlog, Rank
from smtproxy.app.log.outlet import Outlet, broken_outlet, open_outlet

BURST = 65536
"""Octets written from the queue before other tasks get their turn: what a Linux pipe holds (pipe(7))."""
INBOX = 1000
"""Lines handed over by other threads that may wait for the loop: some seconds of a library that complains."""
RETRY = 0.1
"""Seconds until a full disk is tried again, or a descriptor that said it was ready and took nothing."""
FLUSH_TIME = 1.0
"""Seconds close() waits for a stalled reader: journald answers in milliseconds, systemd kills what dallies."""
CLOSE_RETRY = 0.01
"""Seconds between two attempts of close(), which has no loop to wait in."""

_BROKEN = -1


class Writer:
    """Writes lines to `target`, a descriptor (of which it makes its own) or an outlet.

    `capacity` and `reserve` are octets of waiting lines (see `Backlog`); one more line may be on its way.
    `lost_line` renders the counts of lost lines, by event.
    """

    def __init__(
        self, target: int | Outlet, *, capacity: int, reserve: int, lost_line: Callable[[Mapping[str, int]], bytes]
    ) -> None:
        self._outlet = open_outlet(target) if isinstance(target, int) else target
        self._backlog = Backlog(capacity=capacity, reserve=reserve, lost_line=lost_line)
        self._rest = b""  # of the line that is on its way: not in the backlog any more, never pushed out
        self._rest_event = ""
        self._begun = False  # octets of that line are out
        self._torn = False  # the descriptor broke within a line: whoever reads it next needs a line end first
        self._busy = False
        self._inbox: deque[tuple[bytes, str, Rank]] = deque()
        self._inbox_lost: deque[str] = deque(maxlen=INBOX)
        self._thread = get_ident()
        self._token: trio.lowlevel.TrioToken | None = None
        self._wake = trio.Event()

    @property
    def lost(self) -> int:
        """Lines lost since the start."""
        return self._backlog.lost

    @property
    def waiting(self) -> int:
        """Octets that wait for the descriptor."""
        return self._backlog.octets + len(self._rest)

    def write(self, line: bytes, *, event: str, rank: Rank = Rank.ORDINARY, queued: bytes | None = None) -> bool:
        """Write one line, which ends in LF and has no other. True: the descriptor has all of it.

        `queued` is the form the line takes if it has to wait. If octets of the line are out by then, the rest of it
        follows them, provided that both forms begin with the same octets.
        """
        if self._busy or get_ident() != self._thread:
            self._hand_over(line if queued is None else queued, event, rank)
            return False
        self._busy = True
        try:
            straight = self._write(line, event, rank, queued)
        finally:
            self._busy = False
        if self._inbox:
            self._empty_inbox()
        return straight

    async def drain(self) -> None:
        """Write what waits whenever the descriptor takes it, until cancelled. One task for each writer."""
        self._thread = get_ident()
        self._token = trio.lowlevel.current_trio_token()
        while True:
            self._empty_inbox()
            if not self._pending():
                self._wake = trio.Event()
                await self._wake.wait()
                continue
            await self._writable()
            if self._pending() and not self._flush_alone():
                await trio.sleep(RETRY)

    def flush(self) -> None:
        """Write what waits and is taken now. For a process without a loop, in place of `drain()`."""
        if self._pending():
            self._flush_alone()

    def end_line(self) -> None:
        """Another process has left a line without an end: give it one before the next line."""
        self._torn = True

    def close(self, timeout: float = FLUSH_TIME) -> None:
        """Write what waits, for at most `timeout` seconds; the rest is lost. Blocks: call it after the loop."""
        self._thread = get_ident()
        self._token = None
        self._empty_inbox()
        deadline = time.monotonic() + timeout
        while self._pending():
            progress = self._flush_alone()
            left = deadline - time.monotonic()
            if left <= 0:
                break
            if not progress:
                time.sleep(min(left, CLOSE_RETRY))
        self._outlet.close()
        self._outlet = broken_outlet(errno.EBADF)
        while self._pending():
            self._flush_alone()  # counts what is left

    async def _writable(self) -> None:
        if self._outlet.waitable:
            with suppress(OSError):  # of epoll itself: then the wait is the one after a write that took nothing
                await trio.lowlevel.wait_writable(self._outlet.fd)
                return
        await trio.lowlevel.checkpoint()

    def _write(self, line: bytes, event: str, rank: Rank, queued: bytes | None) -> bool:
        if queued is not None and self._pending():
            self._flush(BURST)  # this line had better not wait: perhaps the reader is back and the loop did not see it
        if not self._pending():
            sent = self._send(line)
            if sent == len(line):
                if self._backlog.unreported:
                    self._report()
                return True
            if sent == _BROKEN:
                self._backlog.lose(event)
                return False
            if sent:
                form = queued if queued is not None and queued[:sent] == line[:sent] else line
                self._rest, self._rest_event, self._begun = form[sent:], event, True
                self._wake.set()
                return False
        self._backlog.put(line if queued is None else queued, event, rank)
        self._wake.set()
        return False

    def _send(self, data: bytes) -> int:
        """Octets the descriptor took, or _BROKEN."""
        sent = 0
        try:
            if self._torn:
                if not self._outlet.take(b"\n"):
                    return 0
                self._torn = False
            sent = self._outlet.take(data)
            while 0 < sent < len(data):
                more = self._outlet.take(data[sent:])
                if not more:
                    break
                sent += more
            return sent
        except OSError:
            self._torn = self._torn or self._begun or sent > 0
            return _BROKEN

    def _report(self) -> None:
        self._backlog.mark()
        self._flush(BURST)
        if self._pending():
            self._wake.set()

    def _pending(self) -> bool:
        return bool(self._rest) or bool(self._backlog)

    def _next(self) -> bool:
        """Put the oldest waiting line on its way. False: there is none."""
        oldest = self._backlog.take()
        if oldest is None:
            return False
        self._rest, self._rest_event = oldest
        return True

    def _flush(self, limit: int) -> bool:
        """Write what waits and is taken, up to about `limit` octets. True: less waits than before."""
        progress = False
        while limit > 0 and (self._rest or self._next()):
            sent = self._send(self._rest)
            if sent == _BROKEN:
                self._backlog.lose(self._rest_event)
                sent = len(self._rest)
            limit -= sent
            progress = progress or sent > 0
            self._rest = self._rest[sent:]
            self._begun = bool(self._rest) and (self._begun or sent > 0)
            if self._rest:
                break
        return progress

    def _flush_alone(self) -> bool:
        self._busy = True
        try:
            return self._flush(BURST)
        finally:
            self._busy = False

    def _hand_over(self, line: bytes, event: str, rank: Rank) -> None:
        # Any thread appends to both deques, the writing one alone takes from them; append and popleft are atomic.
        if len(self._inbox) < INBOX:
            self._inbox.append((line, event, rank))
        else:
            self._inbox_lost.append(event)
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._empty_inbox, idempotent=True)

    def _empty_inbox(self) -> None:
        while self._inbox:
            line, event, rank = self._inbox.popleft()
            self._busy = True
            try:
                self._write(line, event, rank, None)
            finally:
                self._busy = False
        while self._inbox_lost:
            self._backlog.lose(self._inbox_lost.popleft())
