"""The ceiling of a server: how many connections all workers together hold there, in memory that they share.

Each worker has a row on the server's page: the connections it holds, and since when somebody waits there. A place is
taken when the sum of all rows is below the ceiling, less one for each other row in which somebody has waited longer;
look and count are one step under a lock (`record_lock.py`), so the ceiling is exact. A row is written by its worker
alone, so a worker that was killed leaves nothing half done, and whoever waits for its end clears the row.

Tried on paper and left: fixed shares (sixteen places for four workers leave a session waiting beside twelve free ones,
and one place for two workers is no share at all), tokens in a pipe (nobody knows how many a killed worker had), a
counter without a lock (two that look at the same time both go in).

Who frees a place rings the bell (an eventfd) of the row that has waited longest, and of the next one, as the first may
hang; so a place changes hands between workers as it does within one: at once, first come first served.
"""

import contextlib
import errno
import mmap
import os
from collections.abc import Sequence

from smtproxy.network.pace import Pace, PacePage
from smtproxy.network.record_lock import LockFile

STALE = 60.0
"""Seconds after which a row's claim holds up nobody any more: longer than sessions wait, so its worker hangs."""
MOST_ROWS = 256
"""Rows of a page: 64 workers, and three times as many that still serve sessions of earlier configurations."""

_LIMIT, _LOWERED = 0, 1
_OPEN, _SINCE = 16, 16 + 4 * MOST_ROWS
_SIZE = _SINCE + 8 * MOST_ROWS


class Page:
    """What all workers know of one server; made before they are forked, and gone with the last of them."""

    __slots__ = ("_numbers", "bells", "lock", "open", "pace", "since")

    def __init__(
        self,
        limit: int,
        lock: contextlib.AbstractContextManager[None] | None = None,
        bells: Sequence[int] = (-1,),
    ) -> None:
        """`limit` connections at most; one row for each bell (an eventfd; -1: nobody to be rung for)."""
        memory = memoryview(mmap.mmap(-1, _SIZE))
        rows = len(bells)
        # Aligned numbers are written and read whole by the machine: the lock is for what looks and then writes.
        self._numbers = memory[:8].cast("i")
        self.open = memory[_OPEN : _OPEN + 4 * rows].cast("i")
        self.since = memory[_SINCE : _SINCE + 8 * rows].cast("d")
        self.lock: contextlib.AbstractContextManager[None] = contextlib.nullcontext() if lock is None else lock
        self.bells = bells
        self.pace = PacePage(rows)
        """How fast the server answers."""
        self._numbers[_LIMIT] = self._numbers[_LOWERED] = limit

    @property
    def limit(self) -> int:
        """`max_connections`."""
        return self._numbers[_LIMIT]

    @limit.setter
    def limit(self, limit: int) -> None:
        with self.lock:
            before, lowered = self._numbers[_LIMIT], self._numbers[_LOWERED]
            self._numbers[_LIMIT] = limit
            self._numbers[_LOWERED] = limit if lowered >= before else min(lowered, limit)

    @property
    def ceiling(self) -> int:
        """Connections that may be held now: the limit, or less since the server said that it is full."""
        return self._numbers[_LOWERED]

    @ceiling.setter
    def ceiling(self, ceiling: int) -> None:
        self._numbers[_LOWERED] = ceiling

    @property
    def total(self) -> int:
        """Connections of all workers."""
        return sum(self.open)

    def vacate(self, row: int) -> None:
        """The worker of this row has ended: what it held is free."""
        with self.lock:
            self.open[row], self.since[row] = 0, 0.0
            self.ring(row)

    def ring(self, own: int) -> None:
        """Tell the two rows that have waited longest, other than `own`: the first of them may hang."""
        waiting = [(since, row) for row, since in enumerate(self.since) if since and row != own]
        for _, row in sorted(waiting)[:2]:
            self.ring_row(row)

    def ring_row(self, row: int) -> None:
        """Ring a bell; once is as good as twice."""
        if self.bells[row] >= 0:
            try:
                os.eventfd_write(self.bells[row], 1)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise


class Ceiling:
    """A page as one worker sees it. Times are those of its own clock, which it may share with nobody."""

    __slots__ = ("_claim", "_offset", "_page", "_row", "pace", "share")

    def __init__(self, page: Page, row: int = 0, offset: float = 0.0) -> None:
        """`offset` seconds are to be added to a time of this worker to get one that all workers agree on."""
        self._page = page
        self._row = row
        self._offset = offset
        self._claim = 0.0
        self.share = 0.0
        """Of the places, kept for those who are known."""
        self.pace = Pace(page.pace, row)

    @property
    def held(self) -> int:
        """Connections of this worker."""
        return self._page.open[self._row]

    @property
    def total(self) -> int:
        """Connections of all workers."""
        return self._page.total

    @property
    def ceiling(self) -> int:
        """How many there may be."""
        return self._page.ceiling

    @property
    def limit(self) -> int:
        """How many there may ever be."""
        return self._page.limit

    @property
    def spare(self) -> int:
        """How many of them are kept for those who are known."""
        return int(self._page.ceiling * self.share)

    @property
    def rivals(self) -> int:
        """Number of other workers in which somebody waits."""
        return sum(1 for row, since in enumerate(self._page.since) if since and row != self._row)

    def has_room(self, *, known: bool = False) -> bool:
        """Tell whether a place may be had, by anybody or by somebody `known`: a hint, `take` knows."""
        return self._page.total + (0 if known else self.spare) < self._page.ceiling

    def take(self, since: float, *, known: bool = True) -> bool:
        """Take a place for somebody who has waited since then. False: there is none, or another worker is first.

        `known`: it may be one of those that are kept for senders with a good record.
        """
        page, row, since = self._page, self._row, since + self._offset
        spare = 0 if known else self.spare
        with page.lock:
            # One place is left for each worker in which somebody has waited longer, and not all that are free: a worker
            # that hangs with a claim would else stop all the others.
            older = [
                (claimed, other)
                for other, claimed in enumerate(page.since)
                if claimed and other != row and since - STALE < claimed < since
            ]
            if sum(page.open) + len(older) + spare >= page.ceiling:
                if older and sum(page.open) + spare < page.ceiling:
                    page.ring_row(min(older)[1])
                return False
            page.open[row] += 1
        return True

    def give(self) -> None:
        """Give a place back."""
        page, row = self._page, self._row
        with page.lock:
            page.open[row] -= 1
            page.ring(row)

    def claim(self, since: float) -> None:
        """Say since when somebody of ours has waited; 0.0: nobody does."""
        page, row, before = self._page, self._row, self._claim
        since = since + self._offset if since else 0.0
        if since != before:
            with page.lock:
                self._claim = page.since[row] = since
            if not before:
                # They may keep connections that nobody uses just now.
                for other, held in enumerate(page.open):
                    if held and other != row:
                        page.ring_row(other)
        # Not for a place that is kept: two workers with strangers in line would ring for each other without end.
        if sum(page.open) + self.spare < page.ceiling:
            page.ring(row)

    def change(self, ceiling: int) -> None:
        """Let there be so many from now on, within what there may ever be."""
        with self._page.lock:
            self._page.ceiling = max(1, min(ceiling, self._page.limit))

    def judges(self, now: float) -> bool:
        """Whether it is this worker's turn to judge how many there may be."""
        return self.pace.judges(now + self._offset)


class Ceilings:
    """All pages, and the bells: what the supervisor has, and each worker inherits."""

    def __init__(self, rows: int, locks: LockFile) -> None:
        """Have room for so many workers at the same time, those of earlier configurations included."""
        self._locks = locks
        self._bells = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(min(rows, MOST_ROWS))]
        self._pages: dict[tuple[str, str], Page] = {}

    @property
    def rows(self) -> int:
        """Workers there may be at the same time."""
        return len(self._bells)

    def allow(self, backend: str, server: str, limit: int) -> None:
        """Set the limit of a server. Workers that are forked later know new servers; those that live know new limits.

        A page is never thrown away: a worker of an earlier configuration may still hold places on it.
        """
        page = self._pages.get((backend, server))
        if page is None:
            self._pages[backend, server] = Page(limit, self._locks.lock(), self._bells)
        else:
            page.limit = limit

    def page(self, backend: str, server: str) -> Page | None:
        """Return the page of a server; None: it was not allowed."""
        return self._pages.get((backend, server))

    def bell(self, row: int) -> int:
        """Return the descriptor that becomes readable when this row is to look whether it can have a place."""
        return self._bells[row]

    def vacate(self, row: int) -> None:
        """The worker of this row has ended."""
        for page in self._pages.values():
            page.vacate(row)

    def close(self) -> None:
        """Close the bells."""
        for descriptor in self._bells:
            os.close(descriptor)
        self._bells.clear()


def quieten(bell: int) -> None:
    """Take the rings of a bell."""
    with contextlib.suppress(BlockingIOError):
        os.eventfd_read(bell)
