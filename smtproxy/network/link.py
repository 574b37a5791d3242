"""A link: one peer's connection. Octets in and out without waiting, and one task that may be parked on it.

TLS will live in here, on the same descriptor: that is why reading comes before waiting wherever octets may already lie
inside, and why a write is repeated with the same octets.
"""

import socket
from typing import Any

import trio

from smtproxy.network.reactor import ENDED, READABLE, WRITABLE, reactor


class Link:
    """A connected (or connecting) non-blocking socket, made by `sockets.py`."""

    __slots__ = ("_interest", "_task", "can_read", "can_write", "ended", "sock")

    def __init__(self, sock: socket.socket) -> None:
        """Take the socket over. It counts as writable until the kernel says otherwise, and as readable once it is."""
        self.sock = sock
        self.can_read = False
        self.can_write = True
        self.ended = False
        """The peer closed, in one direction at least: there is an end of file to be read."""
        self._task: trio.lowlevel.Task | None = None
        self._interest = 0
        reactor().add(sock.fileno(), self)

    def notice(self, edges: int) -> None:
        """Take edges from the reactor: note what they mean, and wake the task if that is what it waits for."""
        if edges & READABLE:
            self.can_read = True
            if edges & ENDED:
                self.ended = True
        if edges & WRITABLE:
            self.can_write = True
        if self._task is not None and edges & self._interest:
            self.wake()

    def wake(self) -> None:
        """Let the task that is parked here go on, whatever it waits for."""
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    async def readable(self) -> None:
        """Wait until there may be something to read, or `wake` is called. A checkpoint in any case."""
        if self.can_read:
            await trio.lowlevel.checkpoint()
        else:
            await self._park(READABLE)

    async def writable(self) -> None:
        """Wait until the kernel may take octets, or `wake` is called. A checkpoint in any case."""
        if self.can_write:
            await trio.lowlevel.checkpoint()
        else:
            await self._park(WRITABLE)

    async def _park(self, interest: int) -> None:
        self._interest = interest
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abandon)

    def _abandon(self, _raise_cancel: Any) -> trio.lowlevel.Abort:  # noqa: ANN401 - trio's type for it is as wide
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def read(self, size: int) -> bytes | None:
        """Return octets, b"" at the end of file, None if there is nothing now. Raises OSError: the connection broke."""
        try:
            octets = self.sock.recv(size)
        except BlockingIOError:
            self.can_read = False
            return None
        if len(octets) < size and not self.ended:
            self.can_read = False
        return octets

    def write(self, octets: bytes | memoryview) -> int:
        """Hand octets to the kernel; return how many it took, 0 if it takes none now. Raises OSError."""
        try:
            taken = self.sock.send(octets)
        except BlockingIOError:
            self.can_write = False
            return 0
        if taken < len(octets):
            self.can_write = False
        return taken

    def close(self) -> None:
        """Close the connection; nothing is flushed, nothing is said. Whoever is parked here goes on."""
        if self.sock.fileno() >= 0:
            reactor().forget(self.sock.fileno())
            self.sock.close()
        self.wake()
