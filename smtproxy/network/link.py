"""A link: one peer's connection, as octets in and out. Nothing here waits; who waits is the session's matter.

TLS will live in here, on the same descriptor: that is why reading comes before waiting wherever octets may already lie
inside (`read` first, wait only on None), and why a write is repeated with the same octets.
"""

import socket

from smtproxy.network.sockets import close


class Link:
    """A connected (or connecting) non-blocking socket."""

    __slots__ = ("closed", "sock")

    def __init__(self, sock: socket.socket) -> None:
        """Take over a socket made by `sockets.py`."""
        self.sock = sock
        self.closed = False

    def read(self, size: int) -> bytes | None:
        """Return octets, b"" at the end of file, None if there is nothing now. Raises OSError: the connection broke."""
        try:
            return self.sock.recv(size)
        except BlockingIOError:
            return None

    def write(self, octets: bytes | memoryview) -> int:
        """Hand octets to the kernel; return how many it took, 0 if it takes none now. Raises OSError."""
        try:
            return self.sock.send(octets)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Close the connection; nothing is flushed, nothing is said."""
        self.closed = True
        close(self.sock)
