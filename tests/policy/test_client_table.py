"""The table of clients: found again, shared with others, and nobody displaced who is still counted."""

import contextlib
import mmap
import os

import pytest

from smtproxy.policy.client_table import WAYS, ClientTable, octets

NOW = 1000.0
FOUR_WORKERS = 4


def _table(clients: int = 100, workers: int = FOUR_WORKERS) -> ClientTable:
    return ClientTable(memoryview(bytearray(octets(clients, workers))), clients, workers)


def _admitted(table: ClientTable, client: int, until: float = NOW + 1.0) -> int:
    """Give a client an entry that is its own until then; -> the entry."""
    entry = table.admit(client, NOW)
    assert entry is not None
    table.empty_at[entry] = until
    return entry


def test_a_client_is_found_by_its_number() -> None:
    table = _table()
    assert table.find(1) is None
    one, other = _admitted(table, 1), _admitted(table, 1 << 128)
    assert (table.find(1), table.find(1 << 128), table.find(2)) == (one, other, None)


def test_the_counts_of_all_workers_are_added_up() -> None:
    table = _table()
    entry, neighbour = _admitted(table, 1), _admitted(table, 2)
    for worker in range(FOUR_WORKERS):
        table.row(worker)[entry] += worker + 1
    assert (table.connections(entry), table.connections(neighbour)) == (10, 0)
    assert [sum(table.row(worker)) for worker in range(FOUR_WORKERS)] == [1, 2, 3, 4]


def test_the_connections_of_a_worker_that_ended_are_gone() -> None:
    table = _table()
    entry = _admitted(table, 1)
    table.empty_at[entry] = NOW + 5.0
    table.row(0)[entry] = table.row(3)[entry] = 7
    table.vacate(3)
    assert (table.connections(entry), table.row(3)[entry], table.empty_at[entry]) == (7, 0, NOW + 5.0)


class Refusing(contextlib.AbstractContextManager[None]):
    """A lock that nobody gets."""

    def __exit__(self, *_: object) -> None:
        """Never called."""

    def __enter__(self) -> None:
        """Fail."""
        raise AssertionError("somebody waits for this")


def test_the_end_of_a_worker_holds_nobody_up_and_takes_no_memory() -> None:
    """It did both: clients that came waited for 0.2 s, and 91 MB were taken, for one of 64 workers that had none."""
    clients, workers = 10_000, 64
    size = octets(clients, workers)
    with contextlib.closing(os.fdopen(os.memfd_create("table"), "r+b")) as file:
        file.truncate(size)
        memory = memoryview(mmap.mmap(file.fileno(), size))
        table = ClientTable(memory, clients, workers)
        entry = _admitted(table, 1)
        table.row(3)[entry] = 7
        ClientTable(memory, clients, workers, Refusing()).vacate(3)
        assert table.row(3)[entry] == 0
        assert os.fstat(file.fileno()).st_blocks * 512 < size / 2


@pytest.mark.parametrize("workers", [1, 3, 4, 5, 16, 256])
def test_no_entry_lies_on_another_one(workers: int) -> None:
    table = _table(3, workers)
    entries = []
    for number in range(WAYS):
        entries.append(_admitted(table, number, NOW + number + 1))
        for worker in range(workers):
            table.row(worker)[entries[-1]] = number * 256 + worker
    for number, entry in enumerate(entries):
        assert table.find(number) == entry
        assert table.empty_at[entry] == NOW + number + 1
        assert [table.row(worker)[entry] for worker in range(workers)] == [number * 256 + one for one in range(workers)]


@pytest.mark.parametrize("counted", ["inside", "lately"])
def test_who_is_counted_keeps_its_entry(counted: str) -> None:
    table = _table(1)
    for client in range(WAYS):
        entry = _admitted(table, client, NOW if counted == "inside" else NOW + 0.1)
        if counted == "inside":
            table.row(2)[entry] = 1
    assert table.admit(WAYS, NOW) is None
    assert [table.find(client) is None for client in range(WAYS + 1)] == [False] * WAYS + [True]
    if counted == "inside":
        left = table.find(5)
        assert left is not None
        table.row(2)[left] = 0
        assert table.admit(WAYS, NOW) == left
        assert table.find(5) is None
    else:
        assert table.admit(WAYS, NOW + 0.1) is not None


def test_two_tables_on_one_memory_are_one() -> None:
    memory = memoryview(bytearray(octets(10, 2)))
    one, other = ClientTable(memory, 10, 2), ClientTable(memory, 10, 2)
    entry = _admitted(one, 1)
    one.row(0)[entry] = 3
    assert other.find(1) == entry
    assert other.connections(entry) == 3


def test_a_full_table_turns_few_clients_away() -> None:
    table = _table(2000)
    turned_away = 0
    for client in range(2000):
        entry = table.admit(client, NOW)
        if entry is None:
            turned_away += 1
        else:
            table.empty_at[entry] = NOW + 1.0
    assert turned_away < 2000 * 0.05  # 4 in 1,000 on average; the hash is another one in each run
