"""Sockets as this proxy uses them: non-blocking, TCP_NODELAY, no wrapper. PERFORMANCE rules 1 to 3.

`SocketStream`, `open_tcp_stream` and `serve_listeners` cost twice the CPU of a session in trials; a descriptor with
`wait_readable` and `wait_writable` is all a half-duplex protocol needs.
"""

import contextlib
import errno
import os
import select
import socket
import struct
from dataclasses import dataclass

GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL
"""A peer that is gone for good: reset, or both directions closed."""
HALF_CLOSED = select.POLLRDHUP
"""The peer sent FIN. A client that sent its final dot, QUIT and FIN in one packet does that, too."""
SPOKE = select.POLLIN | HALF_CLOSED | GONE
"""Something can be read, be it the end."""
BACKLOG = 1024
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""This machine has nothing left to open a socket with: nobody else's fault."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address to listen on or to connect to."""

    host: str
    """IPv4 or IPv6 address, or for a backend server a host name."""
    port: int

    def __str__(self) -> str:
        """Write it as configurations do: host:port, [v6]:port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen(endpoint: Endpoint) -> socket.socket:
    """Open a listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # [::] and 0.0.0.0 are two listeners, whatever net.ipv6.bindv6only says.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)  # noqa: FBT003 - the name of the method says it
        sock.bind((endpoint.host, endpoint.port))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def bound(sock: socket.socket) -> Endpoint:
    """Return where a listening socket is bound, with its real port."""
    host, port, *_ = sock.getsockname()
    return Endpoint(host, port)


def prepare(sock: socket.socket) -> None:
    """Set what every connection of ours has."""
    sock.setblocking(False)  # noqa: FBT003 - the name of the method says it
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def reset_when_closed(sock: socket.socket) -> None:
    """Let the end of a connection be a reset: nothing of it is left in the kernel, and nothing is said. socket(7)"""
    with contextlib.suppress(OSError):  # it is gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def start_connect(family: int, address: tuple[str, int]) -> socket.socket:
    """Begin a TCP connection; the first read shows whether it was made: the server speaks first. Raises OSError."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        prepare(sock)
        code = sock.connect_ex(address)
    except BaseException:
        sock.close()
        raise
    if code not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


def connected(sock: socket.socket) -> bool:
    """Return whether a connection that was begun has been made."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def seen(sock: socket.socket, interest: int) -> int:
    """Return which of these poll events a socket has now, without waiting."""
    poll = select.poll()
    poll.register(sock, interest)
    ready = poll.poll(0)
    return ready[0][1] if ready else 0
