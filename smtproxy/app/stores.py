"""The store that [store] describes: the part that all workers share, made before they are forked, and each one's own.

Must never keep a start or a session from going on: a store that cannot be had is one that forgets.
"""

import mmap
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from smtproxy.app.config.store import Store as Settings
from smtproxy.network.record_lock import LockFile
from smtproxy.stores.memory import MemoryStore
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


@dataclass(frozen=True, slots=True)
class Opened:
    """The store as one worker uses it."""

    store: Store
    secret: bytes | None
    """As above: whoever composes keys hands it to `private()`."""
    run: Callable[[], Awaitable[None]]
    """What runs beside the sessions, as long as they do."""


def remember(settings: Settings, locks: LockFile) -> Remembered:
    """Make what the workers share."""
    memory = memoryview(mmap.mmap(-1, octets(settings.entries)))
    table = Table(memory, settings.entries, os.urandom(SEED), locks.lock())
    return Remembered(settings, table, os.urandom(SECRET) if settings.privacy else None)


def opened(remembered: Remembered) -> Opened:
    """Open the store in a worker."""
    return Opened(MemoryStore(remembered.table, wall_clock), remembered.secret, trio.sleep_forever)


def wall_clock() -> float:
    """Return seconds since 1970: what is remembered outlives the process, and other machines agree."""
    return time.time()  # noqa: TID251 - no deadline is made of it, and stores bear its steps
