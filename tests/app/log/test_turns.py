"""Lines of several processes on one pipe: none is written into the middle of another one."""

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtproxy.app.log.outlet import Outlet, open_outlet
from smtproxy.app.log.turns import Turns
from smtproxy.app.log.writer import Writer
from smtproxy.network.record_lock import LockFile

LONG = 60_000
ONE, OTHER, HEIR = 1, 2, 3


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _turns() -> Turns:
    return Turns(contextlib.nullcontext(), memoryview(bytearray(4)))


def test_the_others_wait_until_a_line_is_out(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    turns = _turns()
    one, other = (turns.kept(open_outlet(writing), who) for who in (ONE, OTHER))
    assert other.take(b"short\n") == 6
    line = b"x" * 99_999 + b"\n"
    sent = one.take(line)
    assert 0 < sent < len(line)
    assert os.read(reading, 70_000).startswith(b"short\n")
    assert other.take(b"too early\n") == 0
    assert one.take(line[sent:]) == len(line) - sent
    assert other.take(b"now\n") == 4
    assert os.read(reading, 200_000).endswith(b"xxx\nnow\n")
    one.close()
    other.close()


def test_nobody_waits_for_one_who_got_nothing_out_or_whose_pipe_broke(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    turns = _turns()
    one, other = (turns.kept(open_outlet(writing), who) for who in (ONE, OTHER))
    while one.take(b"x" * 4096) == 4096:
        pass
    os.read(reading, 1_000_000)
    assert other.take(b"x" * 99_999) > 0
    assert one.take(b"x") == 0
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        other.take(b"x")
    with pytest.raises(BrokenPipeError):
        one.take(b"x")
    one.close()
    other.close()


def test_the_heir_of_a_turn_ends_the_line(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    turns = _turns()
    dead, other, heir = (turns.kept(open_outlet(writing), who) for who in (ONE, OTHER, HEIR))
    assert not turns.inherit(ONE, HEIR)
    dead.take(b"x" * 99_999)
    assert not turns.inherit(OTHER, HEIR)
    assert turns.inherit(ONE, HEIR)
    os.read(reading, 200_000)
    assert other.take(b"too early\n") == 0
    writer = Writer(heir, capacity=1000, reserve=0, lost_line=lambda _: b"")
    writer.end_line()
    assert writer.write(b"of the heir\n", event="x")
    assert other.take(b"now\n") == 4
    assert os.read(reading, 1000) == b"\nof the heir\nnow\n"
    writer.close()


def test_what_is_no_pipe_needs_no_turns() -> None:
    turns = _turns()
    with Path(os.devnull).open("wb") as null:
        outlet = open_outlet(null.fileno())
        assert turns.kept(outlet, ONE) is outlet
        outlet.close()
    broken = open_outlet(-1)
    assert turns.kept(broken, ONE) is broken


def _write(outlet: Outlet, letter: bytes, lines: int) -> int:
    """Write long and short lines in a process of its own; -> its id."""
    pid = os.fork()
    if pid:
        outlet.close()
        return pid
    try:
        writer = Writer(outlet, capacity=100 * LONG, reserve=0, lost_line=lambda _: b"")
        for number in range(lines):
            writer.write(letter * (LONG if number % 2 else 50) + b"\n", event="x")
        while writer.waiting:
            writer.flush()
        os._exit(0)
    finally:
        os._exit(99)


def test_four_processes_write_whole_lines(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    turns = Turns(LockFile().lock(), memoryview(mmap.mmap(-1, mmap.PAGESIZE))[:4])
    letters = b"abcd"
    children = [
        _write(turns.kept(open_outlet(writing), place + 1), letters[place : place + 1], 20) for place in range(4)
    ]
    os.close(writing)
    got = b"".join(iter(lambda: os.read(reading, 5000), b""))
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
    lines = got.splitlines()
    assert len(lines) == 80
    assert all(line == line[:1] * len(line) and len(line) in (50, LONG) for line in lines)
