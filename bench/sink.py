"""A small counting backend in a process of its own: `python -m bench.sink PORT`.

smtp-sink slows down with the square of its connections and does not say how many it was given; this one holds thousands
of idle ones, and answers `XCOUNT` with what it saw. It must never be used where its own speed is part of a result.
"""

import selectors
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.end_to_end.programs.process import HOST, ROOT, Child, answers, free_port, on_cores

EHLO = (
    b"250-sink\r\n250-PIPELINING\r\n250-SIZE 60000000\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n"
    b"250 ENHANCEDSTATUSCODES\r\n"
)
REPLIES = {
    b"EHLO": EHLO,
    b"HELO": b"250 sink\r\n",
    b"DATA": b"354 go ahead\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}


@dataclass(slots=True)
class Counts:
    """What was seen, connections that asked for the counts not included."""

    connections: int = 0
    bare: int = 0
    """Connections that said nothing beyond EHLO and QUIT, as probes do; a running one counts until it says more."""
    mails: int = 0
    """MAIL commands."""


@dataclass(slots=True)
class Dialogue:
    """What one connection has said."""

    unread: bytes = b""
    in_body: bool = False
    bare: bool = True


def answer(dialogue: Dialogue, counts: Counts) -> tuple[bytes, bool]:
    """Answer all complete lines; the second value is False after QUIT."""
    replies = b""
    while True:
        if dialogue.in_body:
            end = dialogue.unread.find(b"\r\n.\r\n")
            if end < 0:
                dialogue.unread = dialogue.unread[-4:]  # the end may be cut anywhere
                return replies, True
            dialogue.unread = dialogue.unread[end + 5 :]
            dialogue.in_body = False
            replies += b"250 2.0.0 taken\r\n"
        line, newline, rest = dialogue.unread.partition(b"\n")
        if not newline:
            return replies, True
        dialogue.unread = rest
        verb = line[:6].strip().upper()[:6]
        if verb == b"XCOUNT":
            counts.connections -= 1
            counts.bare -= 1
            dialogue.bare = False
            replies += b"250 %d %d %d\r\n" % (counts.connections, counts.bare, counts.mails)
            continue
        verb = verb[:4]
        if dialogue.bare and verb not in (b"EHLO", b"HELO", b"QUIT"):
            dialogue.bare = False
            counts.bare -= 1
        counts.mails += verb == b"MAIL"
        if verb == b"DATA":
            dialogue.in_body = True
            dialogue.unread = b"\r\n" + dialogue.unread  # the start of the body counts as a line start
        replies += REPLIES.get(verb, b"250 2.0.0 ok\r\n")
        if verb == b"QUIT":
            return replies, False


def serve(port: int) -> None:
    """Serve until killed."""
    counts = Counts()
    selector = selectors.DefaultSelector()
    listener = socket.create_server((HOST, port), backlog=4096)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                peer, _address = listener.accept()
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer.sendall(b"220 sink ESMTP\r\n")
                counts.connections += 1
                counts.bare += 1
                selector.register(peer, selectors.EVENT_READ, (peer, Dialogue()))
                continue
            peer, dialogue = key.data
            try:
                data = peer.recv(1 << 18)
                dialogue.unread += data
                replies, stay = answer(dialogue, counts)
                peer.sendall(replies)
            except OSError:
                data, stay = b"", False
            if not data or not stay:
                selector.unregister(peer)
                peer.close()


class Sink:
    """The running backend; use it in a `with` statement."""

    def __init__(self, directory: Path, cores: tuple[int, ...]) -> None:
        self.port = free_port()
        with on_cores(cores):
            self._child = Child("sink", [sys.executable, "-m", "bench.sink", str(self.port)], directory, cwd=ROOT)
        self._child.wait_ready(lambda: answers(self.port, b"220"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    def counts(self) -> Counts:
        """Return what it has seen so far."""
        with (
            socket.create_connection((HOST, self.port), timeout=10) as connection,
            connection.makefile("rb") as replies,
        ):
            replies.readline()
            connection.sendall(b"XCOUNT\r\n")
            _, connections, bare, mails = replies.readline().split()
        return Counts(int(connections), int(bare), int(mails))


if __name__ == "__main__":
    serve(int(sys.argv[1]))
