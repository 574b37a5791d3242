"""The shelf: a held body comes back as it was, leaves no trace, and a full disk is an answer."""

import contextlib
import os
import resource
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from smtproxy.network.shelf import CHUNK, Shelf
from smtproxy.session.memory import Memory

ROOM = 1 << 24


async def kept(shelf: Shelf) -> list[bytes]:
    """All that was kept, in the pieces in which it is read."""
    async with aclosing(shelf.chunks()) as chunks:
        return [octets async for octets in chunks]


def names(directory: Path) -> list[str]:
    """What is in a directory."""
    return [one.name for one in directory.iterdir()]


async def test_octets_come_back_in_order_and_in_bounded_pieces(tmp_path: Path) -> None:
    shelf = Shelf(Memory(ROOM), str(tmp_path))
    pieces = [os.urandom(size) for size in (1, CHUNK - 1, CHUNK, 3 * CHUNK, 17)]
    for piece in pieces:
        assert await shelf.append(piece) == ""
    chunks = await kept(shelf)
    assert b"".join(chunks) == b"".join(pieces)
    assert [len(one) for one in chunks] == [CHUNK] * 5 + [17]
    assert b"".join(await kept(shelf)) == b"".join(pieces)
    shelf.clear()


async def test_nothing_kept_is_nothing() -> None:
    shelf = Shelf(Memory(ROOM))
    assert await kept(shelf) == []
    shelf.clear()


async def test_the_file_has_no_name_and_is_gone_at_the_end(tmp_path: Path) -> None:
    room = Memory(ROOM)
    shelf = Shelf(room, str(tmp_path))
    assert await shelf.append(b"secret") == ""
    assert names(tmp_path) == []
    descriptor = shelf._file
    assert descriptor is not None
    assert os.fstat(descriptor).st_nlink == 0
    shelf.clear()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    shelf.clear()
    assert room.left == ROOM


async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    shelf = Shelf(Memory(ROOM), str(tmp_path))
    await shelf.append(b"secret")
    assert shelf._file is not None
    assert os.fstat(shelf._file).st_mode & 0o777 == 0o600
    shelf.clear()


async def test_a_shelf_can_be_used_again(tmp_path: Path) -> None:
    shelf = Shelf(Memory(ROOM), str(tmp_path))
    await shelf.append(b"first message")
    shelf.clear()
    await shelf.append(b"second")
    assert await kept(shelf) == [b"second"]
    shelf.clear()


async def test_the_space_of_all_sessions_is_bounded(tmp_path: Path) -> None:
    room = Memory(10)
    one, other = Shelf(room, str(tmp_path)), Shelf(room, str(tmp_path))
    assert await one.append(b"12345678") == ""
    assert await other.append(b"123") == "no space left for held messages (bounds.body_disk_total)"
    assert room.left == 2
    other.clear()
    one.clear()
    assert room.left == 10
    assert await other.append(b"123") == ""
    other.clear()


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the kernel write no file beyond this size: the error that a full disk would be comes half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_takes_no_more_is_an_answer(tmp_path: Path) -> None:
    room = Memory(ROOM)
    shelf = Shelf(room, str(tmp_path))
    with largest_file(1 << 20):
        assert await shelf.append(bytes(1 << 19)) == ""
        assert await shelf.append(bytes(1 << 20)) == "File too large"
    shelf.clear()
    assert room.left == ROOM
    assert names(tmp_path) == []


async def test_a_directory_that_is_not_there_is_an_answer(tmp_path: Path) -> None:
    room = Memory(ROOM)
    shelf = Shelf(room, str(tmp_path / "nowhere"))
    assert await shelf.append(b"octets") == "No such file or directory"
    shelf.clear()
    assert room.left == ROOM


async def test_a_file_that_lost_octets_is_never_taken_for_the_message(tmp_path: Path) -> None:
    shelf = Shelf(Memory(ROOM), str(tmp_path))
    await shelf.append(bytes(2 * CHUNK))
    assert shelf._file is not None
    os.ftruncate(shelf._file, CHUNK + 10)
    with pytest.raises(OSError, match="shorter than it was"):
        await kept(shelf)
    shelf.clear()
