"""What the store in memory costs: `python -m bench.stores`, microseconds of processor time for each operation.

A number of one machine on one day; no test depends on it.
"""

import mmap
import time
from collections.abc import Callable, Iterator

from smtproxy.network.record_lock import LockFile
from smtproxy.stores.memory import MemoryStore
from smtproxy.stores.store import Rate
from smtproxy.stores.table import SEED, Table, octets

ENTRIES = 100_000
ROUNDS = 30_000
_NOW = 1_790_000_000.0


def _microseconds(work: Callable[[int], object]) -> float:
    began = time.process_time()
    for number in range(ROUNDS):
        work(number)
    return (time.process_time() - began) / ROUNDS * 1e6


def _works(store: MemoryStore) -> Iterator[tuple[str, Callable[[int], object]]]:
    rate = Rate(1e6, 1.0, 1e6)
    yield "take, new key", lambda number: store.take_now(f"1/limit/mx/{number}", rate)
    yield "take, known key", lambda number: store.take_now(f"1/limit/mx/{number % 100}", rate)
    yield "add, known key", lambda number: store.add_now(f"1/seen/{number % 100}", 1.0, 600.0)
    yield "put, new key", lambda number: store.put_now(f"1/known/{number}", "text", 600.0)
    yield "get", lambda number: store.get_now(f"1/known/{number}")


def main() -> None:
    """Print the table."""
    locks = LockFile()
    for name, lock in (("one process", None), ("with the lock of several", locks.lock())):
        memory = memoryview(mmap.mmap(-1, octets(ENTRIES)))
        store = MemoryStore(Table(memory, ENTRIES, bytes(SEED), lock), lambda: _NOW)
        for what, work in _works(store):
            print(f"{name:<26} {what:<16} {_microseconds(work):6.1f} µs")
    locks.close()


if __name__ == "__main__":
    main()
