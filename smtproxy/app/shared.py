"""What all workers of all generations share: made by the supervisor, inherited by whoever it forks.

Each worker has a row of it for itself; the row is the next one's when its worker has ended.
"""

import mmap

from smtproxy.app.config import Config
from smtproxy.network.ceiling import Ceilings
from smtproxy.network.record_lock import LockFile
from smtproxy.policy.client_table import ClientTable, octets

ROWS = 4
"""Rows for each worker: so many generations may serve sessions at the same time."""
FEWEST_ROWS = 16


class Shared:
    """Places at the servers, and connections of the clients."""

    def __init__(self, workers: int, clients: int) -> None:
        """Have room for so many workers of one generation, and remember so many clients."""
        self.rows = max(workers * ROWS, FEWEST_ROWS)
        """Workers there may be at the same time, those of earlier generations included."""
        self._locks = LockFile()
        self.ceilings = Ceilings(self.rows, self._locks)
        memory = memoryview(mmap.mmap(-1, octets(clients, self.rows)))
        self.clients = ClientTable(memory, clients, self.rows, self._locks.lock())

    def allow(self, config: Config) -> None:
        """Set what all workers together may hold at each server."""
        for name, backend in config.backends.items():
            if not backend.is_embedded:
                for server in backend.servers:
                    self.ceilings.allow(name, str(server), backend.max_connections)

    def vacate(self, row: int) -> None:
        """The worker of this row has ended: what it held is free, and its clients are gone."""
        self.ceilings.vacate(row)
        self.clients.vacate(row)

    def close(self) -> None:
        """Close the descriptors."""
        self.ceilings.close()
        self._locks.close()
