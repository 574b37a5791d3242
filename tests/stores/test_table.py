"""The table: found again, who is pushed out, what is marked, and no half entry after kill -9."""

import mmap
import os
import signal

from smtproxy.stores.keys import LONGEST_KEY, LONGEST_TEXT
from smtproxy.stores.store import Kind
from smtproxy.stores.table import CHANGED, CLEAN, COPIED, WAYS, Row, Table, octets
from tests.stores.tables import SEED_OF_TESTS, table

NOW = 1000.0


def _row(key: bytes, expires: float = NOW + 60.0, *, pinned: bool = False) -> Row:
    return Row(Kind.TEXT, key, expires, NOW, 0.0, b"text", pinned)


def _make(into: Table, row: Row) -> int | None:
    return into.make(into.tag(row.kind, row.key), row, NOW)


def _has(of: Table, key: bytes) -> bool:
    return of.find(of.tag(Kind.TEXT, key)) is not None


def test_an_entry_is_found_and_read_as_it_was_written() -> None:
    own = table()
    row = Row(Kind.COUNTER, b"k" * LONGEST_KEY, 1.5, 2.5, 3.5, b"t" * LONGEST_TEXT, pinned=True)
    slot = _make(own, row)
    assert slot is not None
    assert own.find(own.tag(Kind.COUNTER, row.key)) == slot
    assert own.find(own.tag(Kind.TEXT, row.key)) is None
    assert own.row(slot) == row
    assert (own.text(slot), own.is_pinned(slot), own.is_free(slot)) == (row.text, True, False)
    own.clear(slot)
    assert own.is_free(slot)


def test_no_slot_lies_on_another_one() -> None:
    own = table(200)
    rows = [Row(Kind.TEXT, b"%d" % number, NOW + 1 + number, number, -number, b"t%d" % number) for number in range(100)]
    slots = [_make(own, row) for row in rows]
    assert [own.row(slot) for slot in slots if slot is not None] == rows


def test_what_has_expired_goes_first_then_what_expires_soonest() -> None:
    own = table(1)
    for number in range(WAYS):
        _make(own, _row(b"%d" % number, NOW + 10 + number))
    _make(own, _row(b"new"))
    assert not _has(own, b"0")
    own.expires[own.find(own.tag(Kind.TEXT, b"7")) or 0] = NOW
    _make(own, _row(b"newer"))
    assert [_has(own, key) for key in (b"1", b"7", b"new", b"newer")] == [True, False, True, True]


def test_what_a_person_has_put_is_never_pushed_out() -> None:
    own = table(1)
    for number in range(WAYS - 1):
        _make(own, _row(b"%d" % number, pinned=True))
    first, second = _make(own, _row(b"a")), _make(own, _row(b"b"))
    assert first == second is not None
    assert _make(own, _row(b"c", pinned=True)) == first
    assert _make(own, _row(b"d")) is None
    assert all(_has(own, b"%d" % number) for number in range(WAYS - 1))


def test_few_are_pushed_out_of_a_table_that_is_as_full_as_it_may_be() -> None:
    own = table(3000)
    for number in range(3000):
        _make(own, _row(b"%d" % number))
    assert sum(_has(own, b"%d" % number) for number in range(3000)) > 3000 * 0.97


def test_changes_are_marked() -> None:
    own = table()
    slot = _make(own, _row(b"a"))
    other = _make(own, _row(b"b"))
    assert slot is not None
    assert other is not None
    assert own.marked(CHANGED, 10) == sorted([slot, other])
    own.marks[slot] = COPIED
    assert own.marked(CHANGED, 10) == [other]
    assert own.marked(COPIED, 10) == [slot]
    own.marks[slot] = own.marks[other] = CLEAN
    own.clear(slot)
    assert own.marked(CHANGED, 10) == [slot]
    assert own.marked(CHANGED, 0) == []


def test_keys_are_found_by_what_they_begin_with() -> None:
    own = table()
    for key in (b"1/a/x", b"1/a", b"1/b/x"):
        _make(own, _row(key))
    assert sorted(own.row(slot).key for slot in own.beginning(b"1/a")) == [b"1/a", b"1/a/x"]
    assert len(list(own.beginning(b""))) == 3


def test_another_seed_puts_keys_elsewhere() -> None:
    one, other = table(1000), table(1000, bytes(16))
    assert one.tag(Kind.TEXT, b"a") != other.tag(Kind.TEXT, b"a")


def test_whoever_is_killed_in_the_middle_leaves_no_half_entry() -> None:
    """A process writes one entry again and again, each time all of one letter; it is killed somewhere, many times."""
    size = octets(10)
    memory = memoryview(mmap.mmap(-1, size))
    own = Table(memory, 10, SEED_OF_TESTS)
    for _ in range(40):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            tag, letter = own.tag(Kind.TEXT, b"key"), 0
            while True:
                letter = (letter + 1) % 26
                row = Row(Kind.TEXT, b"key", float(letter), float(letter), float(letter), bytes([97 + letter]) * 64)
                slot = own.find(tag)
                if slot is None:
                    own.make(tag, row, 0.0)
                    os.write(writer, b".")
                else:
                    own.write(slot, tag, row)
        os.read(reader, 1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
        found = own.find(own.tag(Kind.TEXT, b"key"))
        if found is not None:
            row = own.row(found)
            assert row.text == bytes([97 + int(row.expires)]) * 64
            assert row.expires == row.since == row.scale
            own.clear(found)
