"""Keeps a table in a file: what has changed is written about once a second, by one worker at a time.

The store itself is the one in memory: no session ever waits for the disk, and the last second is lost with the machine.
Which worker writes does not matter, as the table itself has the marks of what has changed. Whoever holds the turn does,
for as long as it lives; the turn of one that died is free, and what it was writing is written once more.

A file that cannot be used is one log line, and one more when it can be used again; until then there is the table. A
damaged one is moved aside. Must never raise, and must never touch the table from the thread.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

import trio

from smtproxy.session.records import Event, Journal
from smtproxy.stores.file import Damaged, File, Shape, Unusable, move_aside
from smtproxy.stores.table import CHANGED, CLEAN, COPIED, Row, Table

T = TypeVar("T")

PERIOD: Final = 1.0
"""Seconds between two batches: what a crash of the machine may lose."""
RETRY: Final = 5.0
"""Seconds until a file that could not be used is tried again."""
SWEEP: Final = 60.0
"""Seconds between two deletions of what has expired."""
FAREWELL: Final = 3.0
"""Seconds that the last batch of a worker may take."""
HELD: Final = 256
"""Rows copied while the table is locked: others wait for half a millisecond."""
BATCH: Final = 4096
"""Rows of one transaction."""


class Turn(Protocol):
    """Whose turn it is, among processes; that of one that has died is free."""

    def take(self) -> bool:
        """Take it, unless somebody has it."""
        ...

    def give(self) -> None:
        """Give it back."""
        ...


class Keeper:
    """The task of one worker."""

    def __init__(self, table: Table, path: Path, turn: Turn, journal: Journal, clock: Callable[[], float]) -> None:
        """Keep a table in the file of that path; `clock`: seconds since 1970."""
        self._table = table
        self._path = path
        self._turn = turn
        self._journal = journal
        self._clock = clock
        self._shape = Shape(table.seed, table.slots)
        self._has_turn = False
        self._file: File | None = None
        self._down_since: float | None = None
        self._retry_at = self._swept_at = -float("inf")

    async def run(self) -> None:
        """Write again and again, and once more at the end."""
        try:
            while True:
                if trio.current_time() >= self._retry_at:
                    await self.save()
                await trio.sleep(PERIOD)
        finally:
            with trio.move_on_after(FAREWELL, shield=True):
                await self.save()
            if self._has_turn:
                self._close()
                self._turn.give()
                self._has_turn = False

    async def save(self) -> None:
        """Write what has changed, if it is our turn."""
        if not self._has_turn:
            self._has_turn = self._turn.take()
            if not self._has_turn:
                return
        try:
            try:
                await self._write()
            except Damaged as error:
                await self._begin_anew(str(error))
        except Unusable as error:
            self._failed(str(error))
        except Exception as fault:  # noqa: BLE001 - a fault of ours must not end the sessions of this worker
            self._failed(f"{type(fault).__name__}: {fault}")
        else:
            self._works()

    async def _write(self) -> None:
        if self._file is not None and not self._file.is_there:
            self._close()
        file = self._file
        if file is None:
            file = await self._open()
        while changes := self._changes():
            try:
                await _in_thread(file.write, changes)
            except BaseException:
                self._mark_copied()
                raise
            self._settle([slot for slot, _ in changes])
        if trio.current_time() - self._swept_at > SWEEP:
            await _in_thread(file.forget, self._clock())
            self._swept_at = trio.current_time()

    async def _open(self) -> File:
        """Open the file. One that was not read when the table was made is read now; what the table has is newer."""
        file = self._file = await _in_thread(File, self._path)
        if file.shape == self._shape:
            self._mark_copied()
            return file
        now = self._clock()
        rows = await _in_thread(file.rows, now) if file.shape else []
        for start in range(0, len(rows), HELD):
            with self._table.lock:
                for _, row in rows[start : start + HELD]:
                    restore(self._table, row, now)
            await trio.lowlevel.checkpoint()
        # Before its rows are thrown away: whoever dies in between leaves a file of another shape, or marks.
        for start in range(0, self._table.slots, BATCH):
            self._mark(self._table.occupied(start, BATCH))
        await _in_thread(file.begin, self._shape)
        return file

    def _mark_copied(self) -> None:
        """Mark as changed what nobody writes any more."""
        while slots := self._table.marked(COPIED, BATCH):
            self._mark(slots)

    def _mark(self, slots: list[int]) -> None:
        with self._table.lock:
            for slot in slots:
                self._table.marks[slot] = CHANGED

    def _changes(self) -> list[tuple[int, Row | None]]:
        table, changes = self._table, list[tuple[int, Row | None]]()
        while len(changes) < BATCH:
            with table.lock:
                slots = table.marked(CHANGED, HELD)
                changes += [(slot, None if table.is_free(slot) else table.row(slot)) for slot in slots]
                for slot in slots:
                    table.marks[slot] = COPIED
            if not slots:
                break
        return changes

    def _settle(self, slots: list[int]) -> None:
        """The file has them; what has changed meanwhile is marked anew."""
        marks = self._table.marks
        with self._table.lock:
            for slot in slots:
                if marks[slot] == COPIED:
                    marks[slot] = CLEAN

    async def _begin_anew(self, reason: str) -> None:
        self._close()
        aside = await _in_thread(move_aside, self._path)
        fields = {"store": "sqlite", "where": str(self._path), "moved_to": str(aside), "reason": reason}
        self._journal.record(Event.STORE_RESET, fields)
        try:
            await self._write()
        except Damaged as error:
            raise Unusable(str(error)) from None

    def _failed(self, reason: str) -> None:
        self._close()
        self._retry_at = trio.current_time() + RETRY
        if self._down_since is None:
            self._down_since = trio.current_time()
            fields = {"store": "sqlite", "where": str(self._path), "reason": reason}
            self._journal.record(Event.STORE_DOWN, fields)

    def _works(self) -> None:
        if self._down_since is not None:
            passed = round(trio.current_time() - self._down_since, 3)
            self._down_since = None
            self._journal.record(Event.STORE_UP, {"store": "sqlite", "where": str(self._path), "down": passed})

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def read(path: Path, now: float) -> tuple[Shape | None, list[tuple[int, Row]]]:
    """Read a file before there is a table; what cannot be read is a keeper's matter, who says so in the log."""
    if not path.exists():
        return None, []
    try:
        file = File(path)
    except (Unusable, Damaged):
        return None, []
    try:
        return file.shape, file.rows(now)
    except (Unusable, Damaged):
        return None, []
    finally:
        file.close()


def fill(table: Table, shape: Shape | None, rows: list[tuple[int, Row]], now: float) -> None:
    """Put what was read into a new table, with the seed of that shape if there is one."""
    same = shape == Shape(table.seed, table.slots)
    for slot, row in rows:
        if not (same and table.place(slot, row)):
            restore(table, row, now)


def restore(table: Table, row: Row, now: float) -> None:
    """Put a row where it belongs, unless the table knows its key."""
    tag = table.tag(row.kind, row.key)
    if table.find(tag) is None:
        table.make(tag, row, now)


async def _in_thread(work: Callable[..., T], *arguments: object) -> T:
    return await trio.to_thread.run_sync(work, *arguments, abandon_on_cancel=False)
