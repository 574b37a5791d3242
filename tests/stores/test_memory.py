"""The store in memory: against a model, over several processes, with a clock that jumps, and full."""

import mmap
import os
import signal
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtproxy.network.record_lock import LockFile
from smtproxy.stores.memory import MemoryStore
from smtproxy.stores.store import Kind, Rate
from smtproxy.stores.table import WAYS, Table, octets
from tests.fakes.clock import START, FakeClock
from tests.stores.tables import SEED_OF_TESTS, at_once, memory_store

RATE = Rate(amount=60, period=60, burst=5)


def test_every_operation_ends_in_one_step() -> None:
    store = memory_store()
    assert at_once(store.take("1/a", RATE)).left == 4.0
    assert at_once(store.take("1/a", RATE, charge=False)).left == 3.0
    assert at_once(store.take("1/a", RATE)).left == 3.0
    assert at_once(store.add("1/a", 2.0, 60.0)) == 2.0
    assert at_once(store.count("1/a", 60.0)) == pytest.approx(2.0)
    assert at_once(store.put("1/a", "seen", 60.0))
    kept = at_once(store.get("1/a"))
    assert kept is not None
    assert (kept.text, kept.since, kept.expires) == ("seen", START, START + 60.0)
    assert [record.kind for _, record in at_once(store.scan("1/"))] == [Kind.LIMIT, Kind.COUNTER, Kind.TEXT]
    assert at_once(store.forget("1/a"))
    assert not at_once(store.forget("1/a"))
    assert at_once(store.scan("")) == []


def test_a_refused_take_costs_nothing() -> None:
    clock = FakeClock()
    store = memory_store(clock=clock)
    for _ in range(5):
        assert store.take_now("k", RATE).allowed
    for _ in range(100):
        assert not store.take_now("k", RATE).allowed
    clock.now += 1.0
    assert store.take_now("k", RATE).allowed
    assert not store.take_now("k", RATE).allowed


def test_a_clock_that_jumps_back_blocks_nobody_for_long_and_makes_no_counter_larger() -> None:
    clock = FakeClock()
    store = memory_store(clock=clock)
    for _ in range(5):
        store.take_now("k", RATE)
    store.add_now("k", 3.0, 60.0)
    clock.now -= 86400
    assert store.take_now("k", RATE).wait == pytest.approx(1.0)
    assert store.count_now("k", 60.0) == pytest.approx(3.0)
    ((_, counter),) = [one for one in at_once(store.scan("k")) if one[1].kind is Kind.COUNTER]
    assert counter.number == pytest.approx(3.0)
    assert store.add_now("k", 1.0, 60.0) == pytest.approx(4.0)
    clock.now += 5.0
    assert store.take_now("k", RATE).left == pytest.approx(4.0)


def test_a_counter_keeps_its_worth_when_its_half_life_is_changed() -> None:
    clock = FakeClock()
    store = memory_store(clock=clock)
    store.add_now("k", 8.0, 60.0)
    clock.now += 60.0
    assert store.add_now("k", 0.0, 600.0) == pytest.approx(4.0, rel=1e-5)
    clock.now += 600.0
    assert store.count_now("k", 600.0) == pytest.approx(2.0, rel=1e-5)
    assert store.add_now("k", -5.0, 600.0) == 0.0
    assert store.count_now("k", 600.0) == 0.0


def test_the_same_text_stays_since_when_it_was_put_first() -> None:
    clock = FakeClock()
    store = memory_store(clock=clock)
    store.put_now("k", "a", 60.0)
    clock.now += 30.0
    store.put_now("k", "a", 60.0)
    kept = store.get_now("k")
    assert kept is not None
    assert (kept.since, kept.expires) == (START, START + 90.0)
    store.put_now("k", "b", 60.0)
    kept = store.get_now("k")
    assert kept is not None
    assert (kept.text, kept.since) == ("b", START + 30.0)
    clock.now += 60.0
    assert store.get_now("k") is None
    store.note_put("k", "b", 60.0)
    kept = store.get_now("k")
    assert kept is not None
    assert kept.since == START + 90.0


def test_what_a_person_has_put_is_changed_by_persons_alone() -> None:
    clock = FakeClock()
    store = memory_store(clock=clock)
    assert store.put_now("k", "block", 60.0, pinned=True)
    assert not store.put_now("k", "learned", 600.0)
    kept = store.get_now("k")
    assert kept is not None
    assert (kept.text, kept.expires) == ("block", START + 60.0)
    assert store.put_now("k", "pass", 60.0, pinned=True)
    clock.now += 60.0
    assert store.put_now("k", "learned", 60.0)


def test_long_keys_and_texts_are_cut_and_still_told_apart() -> None:
    store = memory_store()
    store.put_now("x" * 200, "t" * 200, 60.0)
    assert store.get_now("x" * 201) is None
    kept = store.get_now("x" * 200)
    assert kept is not None
    assert len(kept.text) == 64


def test_in_a_full_table_everybody_is_let_through() -> None:
    store = memory_store(1)
    assert all(store.put_now(f"{number}", "", 60.0, pinned=True) for number in range(WAYS))
    assert not store.put_now("one more", "", 60.0)
    assert all(store.take_now("k", RATE).allowed for _ in range(20))
    assert store.add_now("k", 1.0, 60.0) == store.add_now("k", 1.0, 60.0) == 1.0
    store.note_take("k", RATE)
    assert len(at_once(store.scan(""))) == WAYS


def test_what_is_noted_is_charged_whether_it_is_there_or_not() -> None:
    store = memory_store()
    store.note_take("k", RATE, 3.0)
    assert store.take_now("k", RATE, charge=False).left == 1.0
    store.note_take("k", RATE, 100.0)
    assert store.take_now("k", RATE).wait == pytest.approx(1.0)
    store.note_add("k", 2.0, 60.0)
    assert store.count_now("k", 60.0) == pytest.approx(2.0)
    ((_, limit),) = [one for one in at_once(store.scan("k")) if one[1].kind is Kind.LIMIT]
    assert limit.number == pytest.approx(5.0)


KEYS = ["1/a", "1/b", "1/" + "c" * 120]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "look", "note", "add", "put", "forget", "pass"]),
        st.sampled_from(KEYS),
        st.integers(0, 6),
    ),
    max_size=60,
)


class _Model:
    """The same by dictionaries: what leaked is taken off, what halved is multiplied."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.limits: dict[str, tuple[float, float]] = {}
        self.counters: dict[str, tuple[float, float]] = {}
        self.texts: dict[str, tuple[str, float]] = {}

    def level(self, key: str) -> float:
        level, at = self.limits.get(key, (0.0, self.clock.now))
        return max(level - (self.clock.now - at), 0.0)

    def value(self, key: str) -> float:
        value, at = self.counters.get(key, (0.0, self.clock.now))
        value *= 0.5 ** ((self.clock.now - at) / 60.0)
        return value if value > 0.001 else 0.0


@given(STEPS)
@settings(deadline=None)
def test_it_does_what_a_model_does(steps: list[tuple[str, str, int]]) -> None:
    clock = FakeClock()
    store, model = memory_store(clock=clock), _Model(clock)
    for what, key, number in steps:
        if what == "take":
            allowed = model.level(key) + number <= 5 + 1e-6
            assert store.take_now(key, RATE, number).allowed == allowed
            if allowed:
                model.limits[key] = (model.level(key) + number, clock.now)
        elif what == "note":
            store.note_take(key, RATE, number)
            model.limits[key] = (min(model.level(key) + number, 5), clock.now)
        elif what == "add":
            model.counters[key] = (model.value(key) + number, clock.now)
            assert store.add_now(key, number, 60.0) == pytest.approx(model.counters[key][0], rel=1e-4, abs=1e-4)
        elif what == "put":
            store.put_now(key, str(number), 10.0)
            model.texts[key] = (str(number), clock.now + 10.0)
        elif what == "forget":
            store.forget_now(key)
            for known in (model.limits, model.counters, model.texts):
                known.pop(key, None)
        elif what == "pass":
            clock.now += number
        assert store.take_now(key, RATE, charge=False).left == pytest.approx(
            max(4 - model.level(key), 0.0) if model.level(key) <= 4 + 1e-6 else 5 - model.level(key), abs=1e-4
        )
        assert store.count_now(key, 60.0) == pytest.approx(model.value(key), rel=1e-3, abs=2e-3)
        kept, (text, expires) = store.get_now(key), model.texts.get(key, ("", 0.0))
        assert (kept.text if kept else None) == (text if expires > clock.now else None)


def _forked(work: Callable[[], int], start: int, go: int) -> int:
    """Fork a process that works once `start` is at its end, and return the descriptor on which it says a number."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            os.close(go)
            os.read(start, 1)
            os.write(writer, struct.pack("q", work()))
        finally:
            os._exit(0)
    os.close(writer)
    return reader


def test_several_processes_take_exactly_the_burst_and_add_exactly_the_sum() -> None:
    locks = LockFile()
    shared = Table(memoryview(mmap.mmap(-1, octets(100))), 100, SEED_OF_TESTS, locks.lock())
    store = MemoryStore(shared, FakeClock())
    rate = Rate(amount=1, period=1000, burst=20000)

    def work() -> int:
        taken = 0
        for _ in range(6000):
            taken += store.take_now("k", rate).allowed
            store.add_now("k", 1.0, 1e6)
        return taken

    start, go = os.pipe()
    readers = [_forked(work, start, go) for _ in range(4)]
    os.close(go)  # all at once
    totals = [struct.unpack("q", os.read(reader, 8))[0] for reader in readers]
    for descriptor in (start, *readers):
        os.close(descriptor)
    for _ in readers:
        os.wait()
    assert sum(totals) == 20000
    assert store.count_now("k", 1e6) == pytest.approx(24000, rel=1e-3)
    locks.close()


def test_whoever_is_killed_leaves_no_lock_and_no_half_entry() -> None:
    locks = LockFile()
    shared = Table(memoryview(mmap.mmap(-1, octets(100))), 100, SEED_OF_TESTS, locks.lock())
    store = MemoryStore(shared, FakeClock())
    for _ in range(20):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            number = 0
            while True:
                number += 1
                store.put_now("k", chr(97 + number % 26) * 64, 60.0)
                store.take_now("k", RATE)
                if number == 10:
                    os.write(writer, b".")
        os.read(reader, 1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
        kept = store.get_now("k")  # the lock is free
        assert kept is None or len(set(kept.text)) == 1
        assert not store.take_now("k", RATE).allowed
    locks.close()
