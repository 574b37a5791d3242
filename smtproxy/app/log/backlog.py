"""Lines that wait for a stalled descriptor: in order, bounded, and with a rule for what is lost first.

Must never lose a line without counting it, and never drop a line for one of the same or a lower rank. Knows no
descriptor.

Each line has a rank. Ordinary lines may fill `capacity - reserve`. Beyond that a line pushes out waiting lines of
lower ranks (the newest first: how a trouble began is what one wants to know), and is itself lost if that makes too
little room. Losses are counted by event and reported by one `log_lost` line, at the place where the first of them
happened and with the counts of the moment at which it is taken.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import NamedTuple

from smtproxy.session.records import Event

LOST = Event.LOG_LOST.value


class Rank(IntEnum):
    """What is lost first when there is no room."""

    ORDINARY = 0
    RESERVED = 1
    """May use the reserve: `session`, `commit`."""
    MESSAGE = 2
    """Uses the reserve and is lost after all others: `message`, the only line that tells how a transaction ended."""


class _Waiting(NamedTuple):
    order: int
    event: str
    line: bytes  # empty: the place of a `log_lost` line


class Backlog:
    """Waiting lines, at most `capacity` octets of them, of which ordinary lines cannot use `reserve`."""

    def __init__(self, *, capacity: int, reserve: int, lost_line: Callable[[Mapping[str, int]], bytes]) -> None:
        self._capacity = capacity
        self._reserve = reserve
        self._lost_line = lost_line
        self._queues: tuple[deque[_Waiting], ...] = tuple(deque() for _ in Rank)
        self._sizes = [0 for _ in Rank]
        self._order = 0
        self._marked = False
        self._unreported: Counter[str] = Counter()
        self._reporting: Counter[str] = Counter()  # what the `log_lost` line said that was taken last
        self.lost = 0
        """Lines lost since the start."""

    def __bool__(self) -> bool:
        return any(self._queues)

    @property
    def octets(self) -> int:
        """Octets of the waiting lines."""
        return sum(self._sizes)

    @property
    def unreported(self) -> bool:
        """Whether lines were lost that no `log_lost` line spoke of."""
        return bool(self._unreported)

    def put(self, line: bytes, event: str, rank: Rank) -> None:
        """Let a line wait, or count it as lost."""
        room = self._capacity - self.octets
        if rank is Rank.ORDINARY:
            room -= self._reserve
        lacking = len(line) - room
        if lacking > sum(self._sizes[:rank]):
            self.lose(event)
            self.mark()
            return
        if lacking > 0:
            self._push_out(lacking, rank)
        self._append(event, line, rank)

    def take(self) -> tuple[bytes, str] | None:
        """The oldest line and its event, which leave; None if none waits."""
        oldest = min((rank for rank in Rank if self._queues[rank]), key=self._head, default=None)
        if oldest is None:
            return None
        _, event, line = self._queues[oldest].popleft()
        self._sizes[oldest] -= len(line)
        if event == LOST:
            self._marked = False
            self._reporting, self._unreported = self._unreported, Counter()
            line = self._lost_line(self._reporting)
        return line, event

    def lose(self, event: str) -> None:
        """Count a line that is lost. If it was a `log_lost` line, what it said is still to be reported."""
        if event == LOST:
            self._unreported += self._reporting
        else:
            self._unreported[event] += 1
            self.lost += 1

    def mark(self) -> None:
        """Let a `log_lost` line wait, if none does."""
        if not self._marked:
            self._marked = True
            self._append(LOST, b"", Rank.MESSAGE)

    def _head(self, rank: Rank) -> int:
        return self._queues[rank][0].order

    def _append(self, event: str, line: bytes, rank: Rank) -> None:
        self._order += 1
        self._queues[rank].append(_Waiting(self._order, event, line))
        self._sizes[rank] += len(line)

    def _push_out(self, octets: int, rank: Rank) -> None:
        for lower in range(rank):
            queue = self._queues[lower]
            while queue and octets > 0:
                dropped = queue.pop()
                self._sizes[lower] -= len(dropped.line)
                octets -= len(dropped.line)
                self.lose(dropped.event)
        self.mark()
