"""The table of clients: how many connections each worker has from a client, and when its minute will have leaked empty.

It lies in memory that all workers may share, so its size is fixed and it holds numbers alone. A row of counts is
written by its worker alone: one that was killed leaves nothing half done, and whoever waits for its end clears the row
(the design of `network/ceiling.py`, for things that are smaller and more).

A client is known by 64 bits of a keyed hash, and has its entry in one of the places of one bucket. So it is found in
one look, and nobody can choose whose entry his own would push aside. Nobody's is: an entry is given away when its
client has no connection and its minute is empty, and where a bucket has no such entry, a new client gets none.

Keys, times and counts lie in a column each, and the counts of an entry side by side: who looks at one entry touches one
page of them. A column for each worker was thought of; each look would touch as many pages as there may be workers.
"""

import contextlib

WAYS = 16
"""Places of a bucket. There are twice as many places as clients: of those that fill it, 4 in 1,000 find none."""
MOST_CONNECTIONS = 65535
"""Connections of a client that can be counted: a count has two octets."""
_MASK = (1 << 64) - 1


class ClientTable:
    """Entries, known by their number. Whoever looks and then writes holds `lock` from the one to the other."""

    __slots__ = ("_buckets", "_counts", "_keys", "_workers", "empty_at", "lock")

    def __init__(
        self,
        memory: memoryview,
        clients: int,
        workers: int,
        lock: contextlib.AbstractContextManager[None] | None = None,
    ) -> None:
        """Use `octets(clients, workers)` octets: zeros, or what another table of the same shape has left there."""
        self.lock: contextlib.AbstractContextManager[None] = contextlib.nullcontext() if lock is None else lock
        self._buckets, self._workers = _buckets(clients), workers
        entries = self._buckets * WAYS
        # An aligned number is written whole by the machine.
        self._keys = memory[: 8 * entries].cast("Q")
        self.empty_at = memory[8 * entries : 16 * entries].cast("d")
        """For each entry: when the minute of its client will have leaked empty."""
        self._counts = memory[16 * entries : octets(clients, workers)].cast("H")

    def find(self, client: int) -> int | None:
        """Return the entry of a client; None: it has none."""
        key, first = self._place(client)
        keys = self._keys[first : first + WAYS].tolist()
        return first + keys.index(key) if key in keys else None

    def admit(self, client: int, now: float) -> int | None:
        """Give a client that has no entry a free one; None: there is none."""
        key, first = self._place(client)
        for entry in range(first, first + WAYS):
            if self.empty_at[entry] <= now and not self.connections(entry):
                self._keys[entry] = key
                return entry
        return None

    def connections(self, entry: int) -> int:
        """Return how many connections all workers have from its client."""
        start = entry * self._workers
        return sum(self._counts[start : start + self._workers])

    def row(self, worker: int) -> memoryview:
        """Return the counts that are a worker's own: for each entry, how many connections it has."""
        return self._counts[worker :: self._workers]

    def vacate(self, worker: int) -> None:
        """A worker has ended: its connections are gone.

        No lock: nobody else writes this row, each count is written whole, and the others need not wait for all of them.
        Entries that never had a client are passed over: to touch their memory would be to take it from the machine.
        """
        row = self.row(worker)
        for entry, key in enumerate(self._keys):
            if key and row[entry]:
                row[entry] = 0

    def _place(self, client: int) -> tuple[int, int]:
        """Return what a client is known by, and the first place of its bucket.

        Python keys the hash of octets anew at each start (SipHash), and workers that are forked have the same key.
        """
        key = hash(client.to_bytes(17, "big")) & _MASK
        return key or 1, key % self._buckets * WAYS


def octets(clients: int, workers: int) -> int:
    """Return how large a table for so many clients and workers is."""
    return _buckets(clients) * WAYS * (16 + 2 * workers)


def _buckets(clients: int) -> int:
    return -(-2 * clients // WAYS)
