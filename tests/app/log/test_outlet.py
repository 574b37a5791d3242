"""Octets go to files, pipes, sockets and terminals, and nothing ever waits for a reader."""

import errno
import fcntl
import os
import pty
import select
import socket
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from smtproxy.app.log.outlet import (
    TERMINAL_PIECE,
    Outlet,
    file_outlet,
    open_outlet,
    polled_outlet,
    reopened_outlet,
)


@dataclass(frozen=True)
class Line:
    """Both ends of something a log can be written to."""

    fd: int
    read: Callable[[int], bytes]


def pipe(stack: ExitStack) -> Line:
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    stack.callback(os.close, writing)
    return Line(writing, lambda size: os.read(reading, size))


def sockets(stack: ExitStack) -> Line:
    reading, writing = socket.socketpair()
    stack.enter_context(reading)
    stack.enter_context(writing)
    return Line(writing.fileno(), reading.recv)


def terminal(stack: ExitStack) -> Line:
    reading, writing = pty.openpty()
    stack.callback(os.close, reading)
    stack.callback(os.close, writing)
    tty.setraw(writing)
    return Line(writing, lambda size: os.read(reading, size))


def reopened(fd: int) -> Outlet:
    outlet = reopened_outlet(fd)
    assert outlet is not None
    return outlet


def polled(fd: int) -> Outlet:
    return polled_outlet(fd, TERMINAL_PIECE if os.isatty(fd) else select.PIPE_BUF)


WAYS = [
    pytest.param(pipe, open_outlet, id="pipe"),
    pytest.param(pipe, reopened, id="pipe-reopened"),
    pytest.param(pipe, polled, id="pipe-polled"),
    pytest.param(sockets, open_outlet, id="socket"),
    pytest.param(terminal, open_outlet, id="terminal"),
    pytest.param(terminal, reopened, id="terminal-reopened"),
    pytest.param(terminal, polled, id="terminal-polled"),
]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(("kind", "opened"), WAYS)
class TestWhatHasAReader:
    def test_octets_arrive(
        self, stack: ExitStack, kind: Callable[[ExitStack], Line], opened: Callable[[int], Outlet]
    ) -> None:
        line = kind(stack)
        outlet = opened(line.fd)
        stack.callback(outlet.close)
        assert outlet.take(b"hello\n") == 6
        assert line.read(100) == b"hello\n"

    def test_a_stalled_reader_is_no_reason_to_wait_and_loses_nothing(
        self, stack: ExitStack, kind: Callable[[ExitStack], Line], opened: Callable[[int], Outlet]
    ) -> None:
        line = kind(stack)
        outlet = opened(line.fd)
        stack.callback(outlet.close)
        sent = b""
        pattern = bytes(range(256)) * 16
        while taken := outlet.take(pattern):
            sent += pattern[:taken]
        assert len(sent) > 1000
        got = b""
        while len(got) < len(sent):
            got += line.read(65536)
        assert got == sent
        assert outlet.take(b"again\n") == 6

    def test_the_shared_description_stays_as_it_was(
        self, stack: ExitStack, kind: Callable[[ExitStack], Line], opened: Callable[[int], Outlet]
    ) -> None:
        line = kind(stack)
        before = fcntl.fcntl(line.fd, fcntl.F_GETFL)
        outlet = opened(line.fd)
        outlet.take(b"x\n")
        assert fcntl.fcntl(line.fd, fcntl.F_GETFL) == before
        assert not before & os.O_NONBLOCK
        outlet.close()
        assert os.fstat(line.fd)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(outlet.fd)

    def test_poll_can_wait_for_it(
        self, stack: ExitStack, kind: Callable[[ExitStack], Line], opened: Callable[[int], Outlet]
    ) -> None:
        outlet = opened(kind(stack).fd)
        stack.callback(outlet.close)
        assert outlet.waitable
        poller = select.poll()
        poller.register(outlet.fd, select.POLLOUT)
        assert poller.poll(0) == [(outlet.fd, select.POLLOUT)]

    def test_it_is_not_inherited(
        self, stack: ExitStack, kind: Callable[[ExitStack], Line], opened: Callable[[int], Outlet]
    ) -> None:
        outlet = opened(kind(stack).fd)
        stack.callback(outlet.close)
        assert not os.get_inheritable(outlet.fd)


@pytest.mark.parametrize("opened", [open_outlet, polled])
def test_a_pipe_that_somebody_else_made_non_blocking(stack: ExitStack, opened: Callable[[int], Outlet]) -> None:
    line = pipe(stack)
    os.set_blocking(line.fd, False)
    outlet = opened(line.fd)
    stack.callback(outlet.close)
    while outlet.take(b"x" * 4000):
        pass
    assert outlet.take(b"x") in (0, 1)


def test_a_polled_pipe_is_written_in_atomic_pieces(stack: ExitStack) -> None:
    outlet = polled(pipe(stack).fd)
    stack.callback(outlet.close)
    assert outlet.take(b"x" * 10000) == select.PIPE_BUF


@pytest.mark.parametrize("opened", [open_outlet, polled])
def test_a_pipe_without_reader_is_broken(opened: Callable[[int], Outlet]) -> None:
    reading, writing = os.pipe()
    outlet = opened(writing)
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        outlet.take(b"x\n")
    outlet.close()
    os.close(writing)


def test_a_socket_without_reader_is_broken() -> None:
    reading, writing = socket.socketpair()
    with writing:
        outlet = open_outlet(writing.fileno())
        reading.close()
        with pytest.raises(BrokenPipeError):
            outlet.take(b"x\n")
        outlet.close()


def test_a_regular_file_is_written_behind_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    with path.open("ab") as file:
        outlet = open_outlet(file.fileno())
        assert outlet.take(b"new\n") == 4
        assert not outlet.waitable
        outlet.close()
    assert path.read_bytes() == b"old\nnew\n"


def test_a_full_disk_takes_nothing_for_now() -> None:
    with Path("/dev/full").open("wb") as full:
        outlet = file_outlet(full.fileno())
        assert outlet.take(b"x\n") == 0
        outlet.close()


def test_other_errors_of_a_file_are_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    with path.open("rb") as file:
        outlet = open_outlet(file.fileno())
        with pytest.raises(OSError, match="Bad file descriptor"):
            outlet.take(b"x\n")
        outlet.close()


def test_the_null_device_takes_all() -> None:
    with Path(os.devnull).open("wb") as null:
        outlet = open_outlet(null.fileno())
        assert outlet.take(b"x" * 100000) == 100000
        outlet.close()


def test_a_closed_descriptor_is_broken_from_the_start() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    outlet = open_outlet(writing)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        outlet.take(b"x\n")
    assert caught.value.errno == errno.EBADF
    outlet.close()


def test_a_pipe_that_cannot_be_opened_again_is_polled(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(path, os.O_WRONLY)
    os.close(reading)
    assert reopened_outlet(writing) is None  # ENXIO: nobody reads
    outlet = open_outlet(writing)
    with pytest.raises(BrokenPipeError):
        outlet.take(b"x\n")
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert outlet.take(b"back\n") == 5
    assert os.read(reading, 10) == b"back\n"
    outlet.close()
    os.close(reading)
    os.close(writing)
