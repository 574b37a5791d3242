"""One question to one name server, once: by UDP, by TCP where the answer does not fit.

Each question has its own socket, which the system gives a random port, and a random id, and is connected, so that the
kernel itself drops what comes from elsewhere (RFC 5452 9 and 10). Must never raise for what a server or the network
does, and never wait longer than it was told.
"""

import os
import socket
import struct
from enum import Enum
from typing import Protocol

import trio

from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.packet import LARGEST_ANSWER, Mark, parsed, read
from smtproxy.network.sockets import EXHAUSTED, Endpoint
from smtproxy.wire.members import hashed_by_identity

GUESSES = 10
"""Packets that answer something else before the question is asked by TCP: somebody guesses ids (RFC 5452 9.2)."""
_READ = 4096
_LENGTH = struct.Struct("!H")


@hashed_by_identity
class Silence(Enum):
    """Why there is no answer."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """Nobody listens there, or there is no way to it."""
    OURS = "no socket"
    """This machine has no socket left: the server is not to blame."""


class Exchange(Protocol):
    """Whoever carries a question to a server."""

    async def __call__(self, server: Endpoint, question: bytes, patience: float, /) -> Answer | Silence:
        """Ask; wait at most so many seconds. `question` is without its id."""


class Wire:
    """The network."""

    def __init__(self) -> None:
        """Count from zero."""
        self.foreign = 0
        """Packets that answered another question than ours, or none."""

    async def __call__(self, server: Endpoint, question: bytes, patience: float) -> Answer | Silence:
        """Ask by UDP, then by TCP if need be."""
        asked = os.urandom(2) + question
        with trio.move_on_after(patience):
            try:
                found = await self._by_udp(server, asked)
                if found is Mark.TRUNCATED:
                    found = await self._by_tcp(server, asked)
            except OSError as error:
                return Silence.OURS if error.errno in EXHAUSTED else Silence.UNREACHABLE
            return found if isinstance(found, Answer) else Answer(Status.SERVFAIL)
        return Silence.TIMEOUT

    async def _by_udp(self, server: Endpoint, asked: bytes) -> Answer | Mark:
        """Return an answer, or TRUNCATED. Raises OSError."""
        with socket.socket(_family(server), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
            sock.connect((server.host, server.port))
            sock.send(asked)
            for _ in range(GUESSES):
                packet = await _received(sock)
                found = read(asked, packet)
                if found is Mark.ODD:
                    return parsed(packet)
                if found is not Mark.FOREIGN:
                    return found
                self.foreign += 1
        return Mark.TRUNCATED

    async def _by_tcp(self, server: Endpoint, asked: bytes) -> Answer | Mark:
        """Return an answer, or why there is none. Raises OSError."""
        try:
            async with await trio.open_tcp_stream(server.host, server.port) as stream:
                await stream.send_all(_LENGTH.pack(len(asked)) + asked)  # in one segment. RFC 7766 8
                (length,) = _LENGTH.unpack(await _exactly(stream, _LENGTH.size))
                if length > LARGEST_ANSWER:
                    return Mark.ODD
                packet = await _exactly(stream, length)
        except trio.BrokenResourceError as error:
            raise ConnectionResetError(str(error)) from error
        found = read(asked, packet)
        return parsed(packet) if found is Mark.ODD else found


async def _received(sock: socket.socket) -> bytes:
    while True:
        await trio.lowlevel.wait_readable(sock)
        try:
            return sock.recv(_READ)
        except BlockingIOError:  # a packet with a wrong checksum woke us
            continue


async def _exactly(stream: trio.SocketStream, count: int) -> bytes:
    """Read so many octets. Raises ConnectionResetError when there are fewer."""
    octets = bytearray()
    while len(octets) < count:
        some = await stream.receive_some(count - len(octets))
        if not some:
            raise ConnectionResetError("the server closed the connection")
        octets += some
    return bytes(octets)


def _family(server: Endpoint) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server.host else socket.AF_INET
