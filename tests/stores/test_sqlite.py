"""The keeper: what is in the table comes back; a worker that dies is followed; a bad file stops nothing."""

import contextlib
import mmap
import os
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
import trio.testing

from smtproxy.network.record_lock import LockFile
from smtproxy.session.records import Event
from smtproxy.stores.file import File, Shape
from smtproxy.stores.memory import MemoryStore
from smtproxy.stores.sqlite import PERIOD, RETRY, SWEEP, Keeper, Turn, fill, read
from smtproxy.stores.store import Rate
from smtproxy.stores.table import CHANGED, CLEAN, SEED, WAYS, Table, octets
from tests.end_to_end.programs.process import open_to_servants
from tests.fakes.clock import FakeClock
from tests.fakes.journal import FakeJournal
from tests.stores.tables import SEED_OF_TESTS, at_once
from tests.stores.test_file import full_disk

ENTRIES = 500
RATE = Rate(amount=60, period=6000, burst=5)


@dataclass(slots=True)
class FakeTurn:
    """A turn that somebody else may have."""

    somebody_else: bool = False
    given: int = 0

    def take(self) -> bool:
        return not self.somebody_else

    def give(self) -> None:
        self.given += 1


@dataclass(slots=True)
class Process:
    """What a start makes, without the processes."""

    path: Path
    clock: FakeClock = field(default_factory=FakeClock)
    journal: FakeJournal = field(default_factory=FakeJournal)
    turn: FakeTurn = field(default_factory=FakeTurn)
    entries: int = ENTRIES
    seed: bytes = SEED_OF_TESTS
    table: Table = field(init=False)
    store: MemoryStore = field(init=False)

    def __post_init__(self) -> None:
        shape, rows = read(self.path, self.clock())
        seed = shape.seed if shape else self.seed
        self.table = Table(memoryview(bytearray(octets(self.entries))), self.entries, seed)
        fill(self.table, shape, rows, self.clock())
        self.store = MemoryStore(self.table, self.clock)

    def keeper(self, turn: Turn | None = None) -> Keeper:
        return Keeper(self.table, self.path, self.turn if turn is None else turn, self.journal, self.clock)


def _keys(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as base:
        return [key for (key,) in base.execute("SELECT key FROM entries ORDER BY key")]


def _fill_up(store: MemoryStore, number: int) -> None:
    for one in range(number):
        store.put_now(f"1/seen/{one}", "text", 86400.0)


async def test_what_was_saved_is_there_after_a_start(tmp_path: Path) -> None:
    path = tmp_path / "store"
    one = Process(path)
    one.store.put_now("1/a", "text", 3600.0, pinned=True)
    one.store.note_take("1/b", RATE, 3.0)
    one.store.add_now("1/c", 4.0, 600.0)
    _fill_up(one.store, 300)
    await one.keeper().save()
    other = Process(path, one.clock)
    assert other.table.seed == one.table.seed
    assert bytes(other.table.marks).count(CLEAN) == other.table.slots  # in the slots of the file: nothing to write
    assert await other.store.scan("") == await one.store.scan("")
    assert other.store.take_now("1/b", RATE, charge=False).left == pytest.approx(1.0)
    kept = other.store.get_now("1/a")
    assert kept is not None
    assert kept.text == "text"
    assert (await other.store.scan("1/a"))[0][1].pinned
    assert one.journal.lines == []


async def test_what_is_forgotten_stays_forgotten(tmp_path: Path) -> None:
    one = Process(tmp_path / "store")
    one.store.put_now("1/a", "text", 3600.0)
    one.store.put_now("1/b", "text", 3600.0)
    keeper = one.keeper()
    await keeper.save()
    one.store.forget_now("1/a")
    await keeper.save()
    assert _keys(one.path) == ["1/b"]


async def test_another_size_takes_over_what_was_there(tmp_path: Path) -> None:
    one = Process(tmp_path / "store")
    _fill_up(one.store, 100)
    await one.keeper().save()
    other = Process(one.path, entries=2000)
    await other.keeper().save()
    third = Process(one.path, entries=2000)
    assert len(await third.store.scan("1/seen/")) == 100
    assert bytes(third.table.marks).count(CLEAN) == third.table.slots


async def test_what_has_expired_is_deleted(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    one = Process(tmp_path / "store")
    one.store.put_now("1/a", "text", 10.0)
    one.store.put_now("1/b", "text", 1000.0)
    keeper = one.keeper()
    await keeper.save()
    one.clock.now += 20.0
    await trio.sleep(SWEEP + 1)
    await keeper.save()
    assert _keys(one.path) == ["1/b"]
    assert len(await Process(one.path, one.clock).store.scan("")) == 1


async def test_one_worker_writes_and_another_one_follows_it(tmp_path: Path) -> None:
    one = Process(tmp_path / "store")
    busy = FakeTurn(somebody_else=True)
    first, second = one.keeper(), one.keeper(busy)
    one.store.put_now("1/a", "text", 3600.0)
    await second.save()
    assert not one.path.exists()
    await first.save()
    one.store.put_now("1/b", "text", 3600.0)
    changes = first._changes()  # and dies here
    assert len(changes) == 1
    busy.somebody_else = False
    await second.save()
    assert _keys(one.path) == ["1/a", "1/b"]


async def test_what_changes_while_it_is_written_is_written_again(tmp_path: Path) -> None:
    one = Process(tmp_path / "store")
    keeper = one.keeper()
    await keeper.save()
    one.store.note_take("1/a", RATE)
    changes = keeper._changes()
    assert keeper._file is not None
    keeper._file.write(changes)
    slots = [slot for slot, _ in changes]
    one.store.note_take("1/a", RATE)
    keeper._settle(slots)
    await keeper.save()
    assert Process(one.path, one.clock).store.take_now("1/a", RATE, charge=False).left == pytest.approx(2.0)


def test_a_worker_that_is_killed_loses_what_it_had_not_written(tmp_path: Path) -> None:
    """A real worker, by its own process and lock, killed in the middle of load; another one goes on."""
    path, locks = tmp_path / "store", LockFile()
    memory = memoryview(mmap.mmap(-1, octets(ENTRIES)))
    table, turn = Table(memory, ENTRIES, SEED_OF_TESTS, locks.lock()), locks.lock()
    store, journal = MemoryStore(table, FakeClock()), FakeJournal()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _work_until_killed(store, Keeper(table, path, turn, journal, FakeClock()), writer)
    os.close(writer)
    assert os.read(reader, 1) == b"."
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    assert "1/first" in _keys(path)
    trio.run(Keeper(table, path, turn, journal, FakeClock()).save)
    assert _keys(path) == [key for key, _ in at_once(store.scan(""))]
    assert journal.lines == []
    locks.close()


def _work_until_killed(store: MemoryStore, keeper: Keeper, ready: int) -> None:
    async def work() -> None:
        number = 0
        store.put_now("1/first", "", 3600.0)
        while True:
            number += 1
            await keeper.save()
            if number == 5:
                os.write(ready, b".")
            store.put_now(f"1/{number % 97}", str(number), 3600.0)

    try:
        trio.run(work)
    finally:
        os._exit(1)


async def test_the_last_changes_are_written_at_the_end(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    one = Process(tmp_path / "store")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.keeper().run)
        await trio.sleep(PERIOD * 5)
        one.store.put_now("1/a", "text", 3600.0)
        nursery.cancel_scope.cancel()
    assert _keys(one.path) == ["1/a"]
    assert one.turn.given == 1
    assert one.journal.lines == []


async def test_a_keeper_that_is_stopped_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    one = Process(tmp_path / "store")
    keeper = one.keeper()
    await keeper.save()
    one.store.put_now("1/a", "text", 3600.0)
    with trio.CancelScope() as scope:
        scope.cancel()
        await keeper.save()
    await keeper.save()
    assert _keys(one.path) == ["1/a"]


async def test_a_full_disk_is_two_lines_and_loses_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    one = Process(tmp_path / "store")
    keeper = one.keeper()
    await keeper.save()
    _fill_up(one.store, 400)
    with full_disk(16384):
        for _ in range(3):
            await keeper.save()
            await trio.sleep(RETRY)
        assert one.store.take_now("1/a", RATE).allowed
    down = one.journal.one(Event.STORE_DOWN)
    assert down["where"] == str(one.path)
    await keeper.save()
    assert one.journal.one(Event.STORE_UP)["down"] == pytest.approx(3 * RETRY, abs=0.1)
    assert _keys(one.path) == [key for key, _ in await one.store.scan("")]
    assert not one.journal.of(Event.STORE_RESET)


async def test_a_locked_file_is_waited_for_and_not_by_sessions(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtproxy.stores.file.PATIENCE", 0.0)
    one = Process(tmp_path / "store")
    keeper = one.keeper()
    await keeper.save()
    with contextlib.closing(sqlite3.connect(one.path, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        one.store.put_now("1/a", "text", 3600.0)
        await keeper.save()
        assert one.journal.one(Event.STORE_DOWN)["reason"] == "database is locked"
        assert one.store.get_now("1/a") is not None
    await keeper.save()
    one.journal.one(Event.STORE_UP)
    assert _keys(one.path) == ["1/a"]


async def test_a_file_that_was_not_read_at_the_start_is_read_later(tmp_path: Path) -> None:
    """Somebody had it: its directory was not mounted yet, or it was locked."""
    one = Process(tmp_path / "store")
    one.store.put_now("1/old", "old", 3600.0)
    one.store.put_now("1/both", "old", 3600.0)
    keeper = one.keeper()
    await keeper.save()
    keeper._close()
    one.path.rename(tmp_path / "hidden")
    other = Process(one.path, one.clock, seed=bytes(SEED))
    other.store.put_now("1/both", "new", 3600.0)
    (tmp_path / "hidden").rename(one.path)
    await other.keeper().save()
    third = Process(one.path, one.clock)
    assert [(key, record.text) for key, record in await third.store.scan("")] == [("1/both", "new"), ("1/old", "old")]


@pytest.mark.parametrize("damage", ["no database", "another version"])
@pytest.mark.parametrize("when", ["at the start", "later"])
async def test_a_damaged_file_is_moved_aside_and_begun_anew(tmp_path: Path, damage: str, when: str) -> None:
    path = tmp_path / "store"
    one = Process(path)
    _fill_up(one.store, 50)
    keeper = one.keeper()
    await keeper.save()
    keeper._close()
    if damage == "no database":
        path.write_bytes(b"hello, world\n" * 1000)
    else:
        with contextlib.closing(sqlite3.connect(path)) as base:
            base.execute("PRAGMA user_version = 77")
    if when == "at the start":
        one = Process(path)
        assert await one.store.scan("") == []
        keeper = one.keeper()
    one.store.put_now("1/a", "text", 3600.0)
    await keeper.save()
    assert one.journal.one(Event.STORE_RESET)["moved_to"] == f"{path}.aside"
    assert _keys(path) == [key for key, _ in await one.store.scan("")]
    assert (tmp_path / "store.aside").exists()
    await keeper.save()
    assert len(one.journal.lines) == 1


async def test_a_directory_in_its_place_degrades_to_memory(tmp_path: Path) -> None:
    one = Process(tmp_path)
    keeper = one.keeper()
    for _ in range(3):
        await keeper.save()
    assert one.journal.one(Event.STORE_DOWN)["reason"] == "Is a directory"
    assert one.store.put_now("1/a", "text", 60.0)


@contextlib.contextmanager
def _nobody(directory: Path) -> Iterator[None]:
    """Be a user who may read files of others and not write them; nothing else keeps root from it."""
    with contextlib.ExitStack() as stack:
        if os.geteuid() == 0:
            open_to_servants(directory)
            os.seteuid(65534)
            stack.callback(os.seteuid, 0)
        yield


async def test_a_file_that_is_read_only_is_one_line(tmp_path: Path) -> None:
    one = Process(tmp_path / "inner" / "store")
    await trio.Path(one.path.parent).mkdir()
    one.store.put_now("1/a", "text", 3600.0)
    keeper = one.keeper()
    await keeper.save()
    keeper._close()
    one.path.chmod(0o444)
    other = Process(one.path, one.clock)
    assert other.store.get_now("1/a") is not None or os.geteuid()
    keeper = other.keeper()
    with _nobody(one.path.parent):
        await keeper.save()
        await keeper.save()
    assert other.journal.one(Event.STORE_DOWN)["reason"] == "Permission denied"
    one.path.chmod(0o600)
    await keeper.save()
    other.journal.one(Event.STORE_UP)


async def test_a_file_that_is_removed_is_made_anew(tmp_path: Path) -> None:
    one = Process(tmp_path / "store")
    keeper = one.keeper()
    one.store.put_now("1/a", "text", 3600.0)
    await keeper.save()
    for end in ("", "-wal", "-shm"):
        await trio.Path(f"{one.path}{end}").unlink()
    await keeper.save()
    assert _keys(one.path) == ["1/a"]


async def test_a_fault_of_ours_ends_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Process(tmp_path / "store")
    monkeypatch.setattr(File, "write", None)
    one.store.put_now("1/a", "text", 3600.0)
    await one.keeper().save()
    assert "TypeError" in str(one.journal.one(Event.STORE_DOWN)["reason"])


def test_rows_of_another_table_find_their_places(tmp_path: Path) -> None:
    one = Process(tmp_path / "store")
    one.store.put_now("1/a", "text", 3600.0)
    ((slot, row),) = [(slot, one.table.row(slot)) for slot in one.table.beginning(b"1/a")]
    elsewhere = (slot + WAYS) % one.table.slots
    rows = [(elsewhere, row), (one.table.slots, row)]
    other = Process(tmp_path / "other")
    fill(other.table, Shape(other.table.seed, other.table.slots), rows, 0.0)
    assert other.store.get_now("1/a") is not None
    assert other.table.marks[elsewhere] == CHANGED  # so it is deleted there in the file
