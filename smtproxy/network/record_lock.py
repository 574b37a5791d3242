"""Locks between processes: POSIX record locks (fcntl(2)) on the octets of a file that has no name.

The kernel opens one when its holder dies, however it dies; that is why they are used and not semaphores in shared
memory. They do not know threads: a process takes one from one thread only. And closing any descriptor of the file opens
all locks that the process has on it, so nobody else may have a descriptor of it.
"""

import errno
import fcntl
import os
from types import TracebackType


class LockFile:
    """A file whose octets are locks; processes that are forked share it."""

    def __init__(self) -> None:
        """Make a file."""
        self._file = os.memfd_create("smtproxy-locks")
        self._locks = 0

    def lock(self) -> "RecordLock":
        """Return a lock of its own. Call it before the processes are forked that are to share it."""
        self._locks += 1
        return RecordLock(self._file, self._locks)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._file)


class RecordLock:
    """One octet, locked against other processes; use it in a `with` statement."""

    __slots__ = ("_file", "_octet")

    def __init__(self, file: int, octet: int) -> None:
        """Lock this octet of the file."""
        self._file = file
        self._octet = octet

    def __enter__(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, self._octet)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give()

    def take(self) -> bool:
        """Take it at once; False: another process has it. Whoever has it may take it again."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._octet)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def give(self) -> None:
        """Give it back."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._octet)
