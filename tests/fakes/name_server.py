"""A name server on loopback that does what a test says: dead, slow, lying, truncating. It runs in a thread of its own.

Must never listen anywhere but on loopback.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Self, TypeAlias

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

HOST = "127.0.0.1"
SOA = "test. 300 IN SOA ns.test. host.test. 1 2 3 4 120"

Behaviour: TypeAlias = Callable[[bytes], Sequence[bytes]]
"""From a question to the packets that are sent back."""


def name_of(question: bytes) -> str:
    """Return the name that is asked for."""
    return dns.message.from_wire(question).question[0].name.to_text(omit_final_dot=True).lower()


def reply(
    question: bytes, *answers: str, authority: Sequence[str] = (), code: int = 0, truncated: bool = False
) -> bytes:
    """Make a reply from lines as "name ttl IN type data"."""
    message = dns.message.make_response(dns.message.from_wire(question))
    message.set_rcode(dns.rcode.Rcode(code))
    for section, lines in ((message.answer, answers), (message.authority, authority)):
        for line in lines:
            name, ttl, _, kind, data = line.split(" ", 4)
            section.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    if truncated:
        message.flags |= dns.flags.TC
    return message.to_wire()


def nobody(question: bytes) -> list[bytes]:
    """Know no name at all."""
    return [reply(question, authority=(SOA,), code=3)]


def silent(_question: bytes) -> list[bytes]:
    """Say nothing."""
    return []


class NameServer:
    """A running server; use it in a `with` statement."""

    def __init__(self, behaviour: Behaviour = nobody, by_tcp: Behaviour | None = None) -> None:
        """Behave so by UDP, and by TCP if it is another thing there; both may be changed while it runs."""
        self.behaviour = behaviour
        self.by_tcp = by_tcp
        self.heard: list[bytes] = []
        self.from_ports: list[int] = []
        self.tcp_heard = 0
        self._udp, self._tcp = _same_port()
        self.port: int = self._udp.getsockname()[1]
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._serve_udp, self._serve_tcp)]

    def _serve_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                packet, address = self._udp.recvfrom(4096)
                if not packet:
                    return
                self.heard.append(packet)
                self.from_ports.append(address[1])
                for answer in self.behaviour(packet):
                    self._udp.sendto(answer, address)

    def _serve_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._tcp.accept()
                with connection:
                    connection.settimeout(2)
                    packet = connection.recv(4096)[2:]
                    if not packet:
                        return
                    self.tcp_heard += 1
                    for answer in (self.by_tcp or self.behaviour)(packet):
                        connection.sendall(struct.pack("!H", len(answer)) + answer)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (HOST, self.port))
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=2):
            pass
        for thread in self._threads:
            thread.join(5)
        self._udp.close()
        self._tcp.close()


def _same_port() -> tuple[socket.socket, socket.socket]:
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((HOST, 0))
        try:
            return udp, socket.create_server(udp.getsockname())
        except OSError:
            udp.close()
