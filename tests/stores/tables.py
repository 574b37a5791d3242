"""Tables of their own for tests of the stores, and coroutines driven by hand."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from smtproxy.stores.memory import MemoryStore
from smtproxy.stores.table import SEED, Table, octets
from tests.fakes.clock import FakeClock

T = TypeVar("T")
SEED_OF_TESTS = bytes(range(SEED))


def table(entries: int = 100, seed: bytes = SEED_OF_TESTS) -> Table:
    return Table(memoryview(bytearray(octets(entries))), entries, seed)


def memory_store(entries: int = 100, clock: FakeClock | None = None) -> MemoryStore:
    return MemoryStore(table(entries), FakeClock() if clock is None else clock)


def at_once(operation: Coroutine[Any, Any, T]) -> T:
    """Drive an operation by hand, as a lookup is at first: one step must end it."""
    try:
        operation.send(None)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")
