"""What all workers of all generations share: made by the supervisor, inherited by whoever it forks.

Each worker has a row of it for itself; the row is the next one's when its worker has ended.
"""

import mmap

from smtproxy.app.config import Config
from smtproxy.app.config.store import Store
from smtproxy.app.kernel_blocks import OCTETS, Pending
from smtproxy.app.log.outlet import Outlet
from smtproxy.app.log.turns import Turns
from smtproxy.app.stores import Remembered, remember
from smtproxy.network.ceiling import Ceilings
from smtproxy.network.record_lock import LockFile
from smtproxy.policy.client_table import ClientTable, octets
from smtproxy.session.records import Journal

ROWS = 4
"""Rows for each worker: so many generations may serve sessions at the same time."""
FEWEST_ROWS = 16


class Shared:
    """Places at servers, connections of clients, what is remembered, whom the kernel is to refuse, and whose turn it
    is to write to the log.
    """

    def __init__(self, workers: int, clients: int) -> None:
        """Have room for so many workers of one generation, and remember so many clients."""
        self.rows = max(workers * ROWS, FEWEST_ROWS)
        """Workers there may be at the same time, those of earlier generations included."""
        self._locks = LockFile()
        self.ceilings = Ceilings(self.rows, self._locks)
        memory = memoryview(mmap.mmap(-1, octets(clients, self.rows)))
        self.clients = ClientTable(memory, clients, self.rows, self._locks.lock())
        self._turns = Turns(self._locks.lock(), memoryview(mmap.mmap(-1, mmap.PAGESIZE))[:4])
        self.kernel = Pending(memoryview(mmap.mmap(-1, mmap.PAGESIZE))[:OCTETS], self._locks.lock())
        self._supervisor = self.rows + 1
        self._remembered: Remembered | None = None

    def remember(self, store: Store, journal: Journal) -> None:
        """Make what is remembered together; once, before the first worker is forked."""
        self._remembered = remember(store, self._locks, journal)

    @property
    def remembered(self) -> Remembered:
        """What is remembered together. There is none before `remember`."""
        if self._remembered is None:
            raise RuntimeError("remember() comes first")
        return self._remembered

    def allow(self, config: Config) -> None:
        """Set what all workers together may hold at each server."""
        for name, backend in config.backends.items():
            if not backend.is_embedded:
                for server in backend.servers:
                    self.ceilings.allow(name, str(server), backend.max_connections)

    def outlet(self, outlet: Outlet, row: int | None = None) -> Outlet:
        """Return the outlet of the log as the worker of a row is to use it; None: the supervisor."""
        return self._turns.kept(outlet, self._supervisor if row is None else row + 1)

    def vacate(self, row: int) -> bool:
        """The worker of this row has ended: what it held is free, and its clients are gone.

        True: it has left a line of the log without an end; the supervisor's next line is to begin with one.
        """
        self.ceilings.vacate(row)
        self.clients.vacate(row)
        return self._turns.inherit(row + 1, self._supervisor)

    def close(self) -> None:
        """Close the descriptors."""
        self.ceilings.close()
        self._locks.close()
