"""The store that [store] describes: the part that all workers share, made before they are forked, and each one's own.

Must never keep a start or a session from going on: a store that cannot be had is one that forgets.
"""

import mmap
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio

from smtproxy.app.config.store import Store as Settings
from smtproxy.network.boundary import Surviving
from smtproxy.network.record_lock import LockFile, RecordLock
from smtproxy.session.records import Event, Journal
from smtproxy.stores.at_hand import AtHand
from smtproxy.stores.memory import MemoryStore
from smtproxy.stores.secret import secret_in
from smtproxy.stores.sqlite import Keeper, fill, read
from smtproxy.stores.store import Store
from smtproxy.stores.table import SEED, Table, octets
from smtproxy.stores.valkey import Server, ValkeyStore

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
    here: MemoryStore
    """The memory of this machine: the store itself, or what goes on while it is down."""
    run: Callable[[], Awaitable[None]]
    """What runs beside the sessions, as long as they do."""

    def at_hand(self, nursery: trio.Nursery, journal: Journal) -> AtHand:
        """Return what those use who cannot wait; what is asked of other machines runs in the nursery."""
        boundary = Surviving(journal, "store")

        async def guarded(work: Callable[[], Awaitable[None]]) -> None:
            with boundary:
                await work()

        return AtHand(self.store, self.here, self.secret, lambda work: nursery.start_soon(guarded, work))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run it until all who have something to note are done: what they note at their end is kept, too."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.run)
            yield
            nursery.cancel_scope.cancel()


def remember(settings: Settings, locks: LockFile, journal: Journal) -> Remembered:
    """Make what the workers share, with what a file has of an earlier run."""
    now, file = wall_clock(), settings.file
    shape, rows = (None, []) if file is None else read(file, now)
    memory = memoryview(mmap.mmap(-1, octets(settings.entries)))
    table = Table(memory, settings.entries, shape.seed if shape else os.urandom(SEED), locks.lock())
    fill(table, shape, rows, now)
    return Remembered(settings, table, _secret(settings, journal), locks.lock())


def opened(remembered: Remembered, journal: Journal) -> Opened:
    """Open the store in a worker."""
    memory, file = MemoryStore(remembered.table, wall_clock), remembered.settings.file
    if remembered.settings.chosen == "valkey":
        settings = remembered.settings
        where = ", ".join(map(str, settings.servers))
        shared = ValkeyStore(partial(_valkey, settings), memory, journal, where, settings.timeout)
        return Opened(shared, remembered.secret, memory, shared.run)
    if file is None:
        return Opened(memory, remembered.secret, memory, trio.sleep_forever)
    keeper = Keeper(remembered.table, file, remembered.turn, journal, wall_clock)
    return Opened(memory, remembered.secret, memory, keeper.run)


@asynccontextmanager
async def _valkey(settings: Settings) -> AsyncIterator[Server]:
    """Connect to the server, with the password that its file has now. It is an extra, so it is loaded here."""
    from smtproxy.stores.valkey_client import ValkeySettings, connect  # noqa: PLC0415

    password = "" if settings.password_file is None else settings.password_file.read_text().strip()
    servers = tuple((one.host, one.port) for one in settings.servers)
    meant = ValkeySettings(
        servers, settings.cluster, settings.user, password, settings.database, settings.tls, settings.tls_ca
    )
    async with connect(meant) as server:
        yield server


def _secret(settings: Settings, journal: Journal) -> bytes | None:
    """Read or make the secret; without it what is kept in this run will not be found again in the next."""
    if not settings.privacy:
        return None
    path = settings.secret_file
    if settings.file is not None:
        path = settings.file.with_name(f"{settings.file.name}.secret")
    if path is None:
        return os.urandom(SECRET)
    try:
        return secret_in(path)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        journal.record(Event.STORE_DOWN, {"store": settings.chosen, "where": str(path), "reason": reason})
        return os.urandom(SECRET)


def wall_clock() -> float:
    """Return seconds since 1970: what is remembered outlives the process, and other machines agree."""
    return time.time()  # noqa: TID251 - no deadline is made of it, and stores bear its steps
