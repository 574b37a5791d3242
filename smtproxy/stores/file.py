"""The file behind the table: SQLite, one row for each slot, so it never has more rows than the table has slots.

Used by one process at a time, from a thread: it may wait for the disk. What is wrong with it is `Unusable` (full,
locked, read-only: it may get better) or `Damaged` (it will not). Must never delete what it cannot read: that is moved
aside, and the one before it is overwritten, so that a file that breaks again and again does not fill the disk.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smtproxy.stores.store import Kind
from smtproxy.stores.table import Row

VERSION: Final = 1
"""Of the schema. Any other one is another version's of smtproxy, and is moved aside."""
PATIENCE: Final = 1.0
"""Seconds to wait for somebody who has locked the file: a person with sqlite3, or a backup."""
_DAMAGE: Final = frozenset({
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_SCHEMA,
})  # fmt: skip
"""Results that say something about the file; SQLITE_ERROR is a table or column that is not there."""
_SHAPE: Final = "CREATE TABLE shape (seed BLOB NOT NULL, slots INTEGER NOT NULL) STRICT"
_ENTRIES: Final = (
    "CREATE TABLE entries (slot INTEGER PRIMARY KEY, kind INTEGER NOT NULL, key TEXT NOT NULL, text TEXT NOT NULL, "
    "pinned INTEGER NOT NULL, since REAL NOT NULL, expires REAL NOT NULL, scale REAL NOT NULL) STRICT"
)


class Unusable(Exception):  # noqa: N818 - what it is, not what went wrong
    """The file cannot be used now; the text says why."""


class Damaged(Exception):  # noqa: N818
    """The file is none of ours, or not any more; the text says why."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The table that the rows are of: who has the same shape has the same keys in the same slots."""

    seed: bytes
    slots: int


class File:
    """An open file."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it. Raises Unusable, Damaged."""
        self._path = path
        with _explained():
            # With the mode that nobody else may read it; SQLite gives its other files the same.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._inode = path.stat().st_ino
            self._base = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            with _explained():
                self.shape = self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> Shape | None:
        base = self._base
        (version,) = base.execute("PRAGMA user_version").fetchone()
        (tables,) = base.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if version != VERSION and (version or tables):
            raise Damaged(f"its version is {version}, and this smtproxy knows {VERSION}")
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = NORMAL")
        base.execute("PRAGMA journal_size_limit = 1048576")
        if not version:
            with self._whole():
                base.execute(_SHAPE)
                base.execute(_ENTRIES)
                base.execute(f"PRAGMA user_version = {VERSION}")
        (found,) = base.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise Damaged(str(found)[:200])
        row = base.execute("SELECT seed, slots FROM shape").fetchone()
        return None if row is None else Shape(*row)

    @property
    def is_there(self) -> bool:
        """Whether the path still leads to it: who has removed it has removed what is kept."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def rows(self, now: float) -> list[tuple[int, Row]]:
        """Read what has not expired, each with its slot. Raises Unusable, Damaged."""
        found = []
        with _explained():
            query = "SELECT slot, kind, key, text, pinned, since, expires, scale FROM entries WHERE expires > ?"
            for slot, kind, key, text, pinned, since, expires, scale in self._base.execute(query, (now,)):
                row = Row(Kind(kind), key.encode(), expires, since, scale, text.encode(), bool(pinned))
                found.append((slot, row))
        return found

    def begin(self, shape: Shape) -> None:
        """Throw all rows away and begin with those of another table. Raises Unusable, Damaged."""
        with _explained(), self._whole():
            self._base.execute("DELETE FROM entries")
            self._base.execute("DELETE FROM shape")
            self._base.execute("INSERT INTO shape VALUES (?, ?)", (shape.seed, shape.slots))
        self.shape = shape

    def write(self, changes: Iterable[tuple[int, Row | None]]) -> None:
        """Write what slots have now, all or nothing; None: a slot is free. Raises Unusable, Damaged."""
        free = [(slot,) for slot, row in changes if row is None]
        kept = [
            (slot, row.kind, _text(row.key), _text(row.text), row.pinned, row.since, row.expires, row.scale)
            for slot, row in changes
            if row is not None
        ]
        with _explained(), self._whole():
            self._base.executemany("DELETE FROM entries WHERE slot = ?", free)
            self._base.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", kept)

    def forget(self, before: float) -> None:
        """Delete what has expired before. Raises Unusable, Damaged."""
        with _explained():
            self._base.execute("DELETE FROM entries WHERE expires < ?", (before,))

    def close(self) -> None:
        """Close it."""
        with contextlib.suppress(sqlite3.Error):
            self._base.close()

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """All that is done within, or nothing."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._base.execute("COMMIT")
        except BaseException:
            # A full disk has ended it already.
            with contextlib.suppress(sqlite3.Error):
                self._base.execute("ROLLBACK")
            raise


def move_aside(path: Path) -> Path:
    """Give the file another name, with what SQLite has beside it; return that name. Raises Unusable."""
    aside = path.with_name(f"{path.name}.aside")
    with _explained():
        for end in ("-wal", "-shm", ""):
            try:
                Path(f"{path}{end}").replace(f"{aside}{end}")
            except FileNotFoundError:
                # What is there belongs to the one that was moved aside before.
                Path(f"{aside}{end}").unlink(missing_ok=True)
    return aside


def _text(octets: bytes) -> str:
    return octets.decode(errors="replace")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what SQLite and the system say into one of the two."""
    try:
        yield
    except OSError as error:
        raise Unusable(os.strerror(error.errno) if error.errno else str(error)) from None
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
        raise (Damaged if code in _DAMAGE else Unusable)(f"{error}") from None
    except (UnicodeError, AttributeError, TypeError, ValueError) as error:
        raise Damaged(f"a value that nobody wrote: {error}") from None
