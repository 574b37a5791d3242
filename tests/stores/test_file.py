"""The file: rows come back, and what is wrong with it is one of two things."""

import contextlib
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtproxy.stores.file import VERSION, Damaged, File, Shape, Unusable, move_aside
from smtproxy.stores.store import Kind
from smtproxy.stores.table import Row

SHAPE = Shape(bytes(range(16)), 160)
ROW = Row(Kind.TEXT, b"1/k\xc3\xa4", 100.5, 50.25, 0.0, b"text", pinned=True)


def _file(path: Path) -> File:
    file = File(path)
    if file.shape is None:
        file.begin(SHAPE)
    return file


@contextlib.contextmanager
def full_disk(octets: int) -> Iterator[None]:
    """Let no file grow above this, as if the disk were full there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_rows_come_back_with_their_slots(tmp_path: Path) -> None:
    path = tmp_path / "store"
    file = _file(path)
    limit = Row(Kind.LIMIT, b"1/limit", 200.0, 1.0, 0.5)
    file.write([(3, ROW), (7, limit), (8, limit)])
    file.write([(8, None)])
    file.close()
    assert path.stat().st_mode & 0o777 == 0o600
    file = _file(path)
    assert file.shape == SHAPE
    assert file.rows(0.0) == [(3, ROW), (7, limit)]
    assert file.rows(150.0) == [(7, limit)]
    file.forget(150.0)
    assert file.rows(0.0) == [(7, limit)]
    other = Shape(bytes(16), 16)
    file.begin(other)
    assert file.rows(0.0) == []
    file.close()
    assert _file(path).shape == other


def test_a_slot_has_one_row_so_the_file_does_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "store"
    file = _file(path)
    rows = [(slot, Row(Kind.TEXT, b"k" * 96, 1e10, 0.0, 0.0, b"t" * 64)) for slot in range(160)]
    file.write(rows)
    for _ in range(300):
        file.write(rows)
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) < 6_000_000
    file.close()
    assert path.stat().st_size < 100_000


def test_nobody_misses_a_file_that_was_removed(tmp_path: Path) -> None:
    file = _file(tmp_path / "store")
    before = file.is_there
    (tmp_path / "store").unlink()
    assert (before, file.is_there) == (True, False)
    file.close()


def _damage(path: Path, how: str) -> None:
    if how == "no database":
        path.write_bytes(b"hello, world\n" * 1000)
    elif how == "torn":
        octets = path.read_bytes()
        path.write_bytes(octets[:4096] + bytes(len(octets) - 4096))
    else:
        with contextlib.closing(sqlite3.connect(path)) as base:
            base.executescript(how)


@pytest.mark.parametrize(
    "how",
    [
        "no database",
        "torn",
        f"PRAGMA user_version = {VERSION + 1}",
        "PRAGMA user_version = 0",
        "DROP TABLE shape",
        "DROP TABLE shape; CREATE TABLE shape (x, y, z); INSERT INTO shape VALUES (1, 2, 3)",
    ],
)
def test_a_file_that_is_not_ours_is_damaged(tmp_path: Path, how: str) -> None:
    path = tmp_path / "store"
    _file(path).close()
    _damage(path, how)
    with pytest.raises(Damaged):
        File(path)


def test_values_that_nobody_wrote_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "store"
    _file(path).close()
    _damage(
        path,
        "DROP TABLE entries; CREATE TABLE entries (slot, kind, key, text, pinned, since, expires, scale);"
        "INSERT INTO entries VALUES (1, 3, 5, 'x', 0, 0, 1e10, 0)",
    )
    file = File(path)
    with pytest.raises(Damaged):
        file.rows(0.0)
    file.close()


def test_a_full_disk_is_no_damage_and_writes_nothing_by_half(tmp_path: Path) -> None:
    file = _file(tmp_path / "store")
    rows = [(slot, Row(Kind.TEXT, b"k" * 96, 1e10, 0.0, 0.0, b"t" * 64)) for slot in range(160)]
    with full_disk(16384), pytest.raises(Unusable):
        file.write(rows)
    assert file.rows(0.0) == []
    file.write(rows)
    assert len(file.rows(0.0)) == 160
    file.close()


def test_a_path_that_leads_nowhere_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="No such file"):
        File(tmp_path / "nowhere" / "store")
    with pytest.raises(Unusable, match="directory"):
        File(tmp_path)


def test_what_is_moved_aside_is_kept_whole_and_only_once(tmp_path: Path) -> None:
    path = tmp_path / "store"
    for number in range(3):
        path.write_text(f"{number}")
        Path(f"{path}-wal").write_text(f"wal {number}")
        move_aside(path)
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"store.aside": "2", "store.aside-wal": "wal 2"}
    path.write_text("3")
    assert move_aside(path) == tmp_path / "store.aside"
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"store.aside": "3"}
    path.write_text("4")
    (tmp_path / "other.aside").mkdir()
    path.rename(tmp_path / "other")
    with pytest.raises(Unusable):
        move_aside(tmp_path / "other")
