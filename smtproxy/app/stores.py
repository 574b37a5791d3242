"""The store that [store] describes: the part that all workers share, made before they are forked, and each one's own.

Must never keep a start or a session from going on: a store that cannot be had is one that forgets.
"""

import mmap
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from smtproxy.app.config.store import Store as Settings
from smtproxy.network.record_lock import LockFile, RecordLock
from smtproxy.session.records import Event, Journal
from smtproxy.stores.memory import MemoryStore
from smtproxy.stores.secret import secret_in
from smtproxy.stores.sqlite import Keeper, fill, read
from smtproxy.stores.store import Store
from smtproxy.stores.table import SEED, Table, octets

SECRET = 32
"""Octets of the key under which names are kept where privacy is wanted."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What all workers share of the store; it lasts as long as the supervisor does."""

    settings: Settings
    table: Table
    secret: bytes | None
    """For `private()` in `stores/keys.py`; None: names are kept as they are."""
    turn: RecordLock
    """Whose turn it is to write the file."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The store as one worker uses it."""

    store: Store
    secret: bytes | None
    """As above: whoever composes keys hands it to `private()`."""
    run: Callable[[], Awaitable[None]]
    """What runs beside the sessions, as long as they do."""


def remember(settings: Settings, locks: LockFile, journal: Journal) -> Remembered:
    """Make what the workers share, with what a file has of an earlier run."""
    now, file = wall_clock(), settings.file
    shape, rows = (None, []) if file is None else read(file, now)
    memory = memoryview(mmap.mmap(-1, octets(settings.entries)))
    table = Table(memory, settings.entries, shape.seed if shape else os.urandom(SEED), locks.lock())
    fill(table, shape, rows, now)
    secret = None
    if settings.privacy:
        secret = os.urandom(SECRET) if file is None else _secret(file.with_name(f"{file.name}.secret"), journal)
    return Remembered(settings, table, secret, locks.lock())


def opened(remembered: Remembered, journal: Journal) -> Opened:
    """Open the store in a worker."""
    memory, file = MemoryStore(remembered.table, wall_clock), remembered.settings.file
    if file is None:
        return Opened(memory, remembered.secret, trio.sleep_forever)
    keeper = Keeper(remembered.table, file, remembered.turn, journal, wall_clock)
    return Opened(memory, remembered.secret, keeper.run)


def _secret(path: Path, journal: Journal) -> bytes:
    """Read or make the secret; without it what is kept in this run will not be found again in the next."""
    try:
        return secret_in(path)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        journal.record(Event.STORE_DOWN, {"store": "sqlite", "where": str(path), "reason": reason})
        return os.urandom(SECRET)


def wall_clock() -> float:
    """Return seconds since 1970: what is remembered outlives the process, and other machines agree."""
    return time.time()  # noqa: TID251 - no deadline is made of it, and stores bear its steps
