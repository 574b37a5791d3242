"""Locks between processes: one holder at a time, and none is held by the dead."""

import os
import signal
from collections.abc import Callable

import pytest

from smtproxy.network.record_lock import LockFile, RecordLock


def _fork(work: Callable[[], object]) -> int:
    """Do this in a process of its own, which then waits to be killed; -> its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        signal.pause()
    finally:
        os._exit(99)


def _holder(lock: RecordLock) -> int:
    """A process that holds a lock; -> its id."""
    read, write = os.pipe()

    def work() -> None:
        lock.__enter__()
        os.write(write, b"x")

    pid = _fork(work)
    assert os.read(read, 1) == b"x"
    os.close(read)
    os.close(write)
    return pid


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_another_process_waits_for_its_turn() -> None:
    lock = LockFile().lock()
    read, write = os.pipe()

    def work() -> None:
        with lock:
            os.write(write, b"child")

    with lock:
        pid = _fork(work)
        os.write(write, b"parent ")
    heard = b""
    while not heard.endswith(b"child"):
        heard += os.read(read, 100)
    _kill(pid)
    assert heard == b"parent child"
    os.close(read)
    os.close(write)


def test_a_lock_ends_with_its_holder() -> None:
    lock = LockFile().lock()
    _kill(_holder(lock))
    with lock:  # or wait for ever
        pass


def test_locks_of_a_file_do_not_wait_for_each_other() -> None:
    file = LockFile()
    one, other = file.lock(), file.lock()
    pid = _holder(one)
    with other:  # or wait for ever
        pass
    _kill(pid)
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"), one:
        pass


def test_a_lock_that_somebody_has_is_not_waited_for() -> None:
    lock = LockFile().lock()
    pid = _holder(lock)
    assert not lock.take()
    _kill(pid)
    assert lock.take()
    assert lock.take()
    lock.give()
    _kill(_holder(lock))
