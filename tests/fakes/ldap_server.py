"""A directory that says what a test wants: other result codes, half an answer, another object, nothing. RFC 4511

Enough of BER for a bind and for searches, on a real socket: what is tested is how bonsai and libldap take it.
"""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

BIND, BOUND, SEARCH, ENTRY, DONE = 0x60, 0x61, 0x63, 0x64, 0x65
SUCCESS, INVALID_CREDENTIALS, BUSY = 0, 49, 51

Objects: TypeAlias = Mapping[str, Mapping[str, Sequence[bytes]]]


@dataclass(frozen=True, slots=True)
class Search:
    """A question, as far as tests look at it."""

    base: str
    octets: bytes
    """The whole of it, filter included."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    objects: Objects
    code: int = SUCCESS
    ends: bool = True
    """Else the connection hangs behind the objects, for ever."""


class LdapServer(socketserver.ThreadingTCPServer):
    """Use it in a `with` statement; `answers` may be changed while it runs."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answers: Callable[[Search], Reply]) -> None:
        """Listen on a free port of this machine."""
        super().__init__(("127.0.0.1", 0), _Connection)
        self.answers = answers
        self.bind_code = SUCCESS
        self.binds = 0
        self.searches: list[Search] = []
        self.connections: list[socket.socket] = []
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"ldap://127.0.0.1:{self.server_address[1]}"

    def break_connections(self) -> None:
        """Close all connections, as a restart of the server does."""
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.break_connections()
        self.server_close()


class _Connection(socketserver.StreamRequestHandler):
    server: LdapServer

    def handle(self) -> None:
        self.server.connections.append(self.connection)
        with contextlib.suppress(OSError):
            while (message := _read(self.rfile.read)) is not None:
                number, operation = _parts(message)[:2]
                if operation[0] == BIND:
                    self.server.binds += 1
                    self._send(number, _element(BOUND, _result(self.server.bind_code)))
                elif operation[0] == SEARCH:
                    self._search(number, operation)
                else:
                    return

    def _search(self, number: bytes, operation: bytes) -> None:
        base = _content(_parts(_content(operation))[0]).decode()
        search = Search(base, operation)
        self.server.searches.append(search)
        reply = self.server.answers(search)
        for dn, attributes in reply.objects.items():
            body = b"".join(
                _element(
                    0x30, _element(4, name.encode()) + _element(0x31, b"".join(_element(4, one) for one in values))
                )
                for name, values in attributes.items()
            )
            self._send(number, _element(ENTRY, _element(4, dn.encode()) + _element(0x30, body)))
        if not reply.ends:
            self.server.closing.wait()
            return
        self._send(number, _element(DONE, _result(reply.code)))

    def _send(self, number: bytes, operation: bytes) -> None:
        self.connection.sendall(_element(0x30, number + operation))


def _result(code: int) -> bytes:
    return _element(10, bytes([code])) + _element(4, b"") + _element(4, b"")


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def _head(octets: bytes) -> tuple[int, int]:
    """Return where the content of an element begins and ends."""
    size, begin = octets[1], 2
    if size & 0x80:
        begin = 2 + (size & 0x7F)
        size = int.from_bytes(octets[2:begin], "big")
    return begin, begin + size


def _content(element: bytes) -> bytes:
    begin, end = _head(element)
    return element[begin:end]


def _parts(element: bytes) -> list[bytes]:
    """Cut the content of a message, or of what is given, into its elements."""
    rest = _content(element) if element[0] == 0x30 else element
    parts: list[bytes] = []
    while rest:
        end = _head(rest)[1]
        parts.append(rest[:end])
        rest = rest[end:]
    return parts


def _read(read: Callable[[int], bytes]) -> bytes | None:
    head = read(2)
    if len(head) < 2:
        return None
    if head[1] & 0x80:
        head += read(head[1] & 0x7F)
    return head + read(_head(head)[1] - len(head))
