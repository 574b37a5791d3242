"""The pace of a server: how many messages it answered and how long that took, in memory that all workers share.

Each worker writes a row of its own: a number that only grows, and the seconds of its last answers. One of the workers
judges for all (`policy/admission.py`): two that tried different ceilings at the same time would each see what the other
one did. It is whoever said last that it does; one that is silent for some seconds is followed by the next.
"""

import mmap
from collections.abc import Mapping
from typing import Any

KEPT = 64
"""Seconds of answers that a row keeps: more in one window change no median."""
SILENT = 5.0
"""Seconds after which another worker judges."""
_HEAD = 16


class PacePage:
    """What all workers have seen of one server."""

    __slots__ = ("answers", "judge", "judged_at", "seconds", "strains")

    def __init__(self, rows: int) -> None:
        """Have a row for each of so many workers. Made before they are forked."""
        memory = memoryview(mmap.mmap(-1, _HEAD + rows * (8 + 8 + 4 * KEPT)))
        # Aligned numbers are written and read whole by the machine; each row is written by its worker alone.
        self.judged_at = memory[:8].cast("d")
        self.judge = memory[8:_HEAD].cast("q")
        """The row that judges, from 1 on; 0: nobody yet."""
        self.answers = memory[_HEAD : _HEAD + 8 * rows].cast("Q")
        self.strains = memory[_HEAD + 8 * rows : _HEAD + 16 * rows].cast("Q")
        self.seconds = memory[_HEAD + 16 * rows :].cast("f")

    @property
    def rows(self) -> int:
        """Number of workers there may be."""
        return len(self.answers)


class Pace:
    """A page as one worker sees it."""

    __slots__ = ("_page", "_read", "_row", "_strains")

    def __init__(self, page: PacePage, row: int) -> None:
        """Be the worker of this row."""
        self._page, self._row = page, row
        self._read = list(page.answers)
        self._strains = sum(page.strains)

    def answered(self, seconds: float) -> None:
        """The server has answered to a message of ours."""
        page, row = self._page, self._row
        number = page.answers[row]
        page.seconds[row * KEPT + number % KEPT] = seconds
        page.answers[row] = number + 1

    def strained(self) -> None:
        """It told us that it has too much to do."""
        self._page.strains[self._row] += 1

    def judges(self, now: float) -> bool:
        """Whether it is this worker's turn to judge; by asking it says that it is there. `now`: seconds on a clock that
        all workers agree on.
        """
        page, own = self._page, self._row + 1
        if page.judge[0] != own:
            if page.judge[0] and 0 <= now - page.judged_at[0] < SILENT:
                return False
            page.judge[0] = own  # two that do so at once judge together for one second
            self._read, self._strains = list(page.answers), sum(page.strains)
        page.judged_at[0] = now
        return True

    def news(self) -> tuple[int, list[float], bool]:
        """Return how many messages were answered since the last time, the seconds of the last ones, and whether the
        server has complained.
        """
        page, paces, total = self._page, list[float](), 0
        for row, number in enumerate(page.answers):
            before, self._read[row] = self._read[row], number
            total += number - before
            for place in range(max(before, number - KEPT), number):
                paces.append(page.seconds[row * KEPT + place % KEPT])
        strains, before = sum(page.strains), self._strains
        self._strains = strains
        return total, paces, strains > before


_TOO_MUCH = ("421 ", "452 4.3.1", "451 4.3.1", "451 4.3.2", "431 4.3.1")
"""How replies begin that mean load: RFC 5321 3.8, Exchange's back pressure (BACKENDS 1.4). 452 4.5.3 does not."""

_IDLE = "421 4.4.1"
"""How it says that nobody spoke for too long: a client that stalls must not get the others fewer connections."""


def complains(message: Mapping[str, Any]) -> bool:
    """Tell from the fields of a `message` line whether the server said that it has too much to do."""
    said = [message["backend_reply"], *(one["reply"] for one in message["recipients"] if one["by"] == "backend")]
    return any(one and one.startswith(_TOO_MUCH) and not one.startswith(_IDLE) for one in said)
