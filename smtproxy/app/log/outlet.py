"""Ways to hand octets to a descriptor that may be a file, a pipe, a socket or a terminal, without ever blocking.

Must never set O_NONBLOCK on the descriptor it was given: standard output is an open file description that this
process shares with its parent, its children and the shell, and the flag would hit them all. What the kernel offers
instead:

* pipe, terminal: opening `/proc/self/fd/N` gives a *second* description of the same pipe, which may be non-blocking.
  Where this is refused (no /proc, or the pipe belongs to the user that this process was before it gave up its
  rights): poll() with zero time-out. POLLOUT on a pipe means that a page is free, so that PIPE_BUF octets fit
  (pipe(7)). Between poll() and write() another process may fill the pipe; only then, and only in this second way, one
  write can wait.
* socket (journald's stream): send() with MSG_DONTWAIT.
* anything else, such as a regular file or /dev/null: write(), which waits for no reader. A full disk takes nothing.
"""

import errno
import os
import select
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass

TERMINAL_PIECE = 256
"""Octets per write to a polled terminal: Linux says POLLOUT (n_tty_poll) while fewer than 256 (WAKEUP_CHARS) wait."""

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Outlet:
    """A descriptor of our own to the same file, pipe, socket or terminal, and how to write to it."""

    fd: int
    """Our own number, for poll() and epoll; -1 if there is none."""
    take: Callable[[bytes], int]
    """Writes what can be written now and returns how many octets that was, 0 for none. OSError: it is broken."""
    close: Callable[[], None]
    """Closes `fd`; the descriptor it was made from stays open."""
    waitable: bool
    """Whether poll() and epoll can tell when octets are taken again. They cannot for regular files."""


def open_outlet(fd: int) -> Outlet:
    """Outlet for a descriptor. Raises nothing: one that is closed gives an outlet that is broken from the start."""
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            return socket_outlet(fd)
        if stat.S_ISFIFO(mode):
            return reopened_outlet(fd) or polled_outlet(fd, select.PIPE_BUF)
        if os.isatty(fd):
            return reopened_outlet(fd) or polled_outlet(fd, TERMINAL_PIECE)
        return file_outlet(fd)
    except OSError as error:
        return broken_outlet(error.errno or errno.EBADF)


def file_outlet(fd: int) -> Outlet:
    """Outlet for what waits for no reader: regular files, /dev/null."""
    own = os.dup(fd)

    def take(data: bytes) -> int:
        try:
            return os.write(own, data)
        except OSError as error:
            if error.errno in _DISK_FULL:
                return 0  # an administrator can make room: that is a stalled reader, not a broken one
            raise

    return Outlet(own, take, lambda: os.close(own), waitable=False)


def socket_outlet(fd: int) -> Outlet:
    """Outlet for a socket."""
    own = socket.socket(fileno=os.dup(fd))

    def take(data: bytes) -> int:
        try:
            return own.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0

    return Outlet(own.fileno(), take, own.close, waitable=True)


def reopened_outlet(fd: int) -> Outlet | None:
    """Outlet for a pipe or terminal by a description of our own, None where the system refuses one."""
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None

    def take(data: bytes) -> int:
        try:
            return os.write(own, data)
        except BlockingIOError:
            return 0

    return Outlet(own, take, lambda: os.close(own), waitable=True)


def polled_outlet(fd: int, piece: int) -> Outlet:
    """Outlet for a pipe or terminal that stays blocking: at most `piece` octets per write, each after a poll()."""
    own = os.dup(fd)
    poller = select.poll()
    poller.register(own, select.POLLOUT)

    def take(data: bytes) -> int:
        if not poller.poll(0):
            return 0
        try:
            return os.write(own, data if len(data) <= piece else data[:piece])
        except BlockingIOError:
            return 0  # somebody else made the shared description non-blocking

    return Outlet(own, take, lambda: os.close(own), waitable=True)


def broken_outlet(number: int) -> Outlet:
    """Outlet of a descriptor that is not open."""

    def take(_data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    return Outlet(-1, take, lambda: None, waitable=False)
