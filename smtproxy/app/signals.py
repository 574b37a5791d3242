"""Signals: octets to wait for in the supervisor, and of no meaning in a worker."""

import contextlib
import signal
import socket
from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def heard() -> Iterator[socket.socket]:
    """Have the numbers of `SIGNALS` come as octets of a socket."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)  # noqa: FBT003 - the name of the method says it
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let them wait, in this process and in one that is forked meanwhile: it must not have its parent's handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def ignore() -> None:
    """Be deaf to them. They go to the whole process group, or the whole service: the supervisor says what follows."""
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def name_of(status: int) -> str:
    """Return the name of the signal that ended a process with this status; empty: none did."""
    return signal.Signals(-status).name if status < 0 else ""
