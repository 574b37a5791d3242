"""What supervisor and worker say to each other: words, one a line, over a pair of sockets.

The end of the stream is a word, too: a worker whose supervisor is gone drains, and a supervisor whose worker is gone
looks for its exit status. Words and not signals: a signal has one meaning for everybody in the process group, and two
of them may become one.
"""

import socket
from enum import StrEnum

GONE = ""
"""The word at the end of the stream."""


class Order(StrEnum):
    """What a worker is told."""

    RETIRE = "retire"
    """Accept no more clients; sessions go on as long as they like."""
    DRAIN = "drain"
    """Accept no more clients, bring sessions to an end within `drain_timeout`."""
    CUT = "cut"
    """Now."""


class Report(StrEnum):
    """What a worker says."""

    READY = "ready"
    """It accepts clients."""
    BEAT = "beat"
    """Its loop runs."""
    SEEN = "seen"
    """What a server offers (`sightings.py` has written what follows)."""
    CUT = "cut"
    """So many sessions were cut off (a number follows); said at the end."""


class Line:
    """One end of the pair."""

    def __init__(self, sock: socket.socket) -> None:
        """Use a connected socket, which becomes non-blocking."""
        sock.setblocking(False)  # noqa: FBT003 - the name of the method says it
        self.sock = sock
        self._rest = b""

    def say(self, *words: str) -> None:
        """Say words; to nobody, if the other end is gone. They are few: the buffer of a socket has room for them."""
        try:
            self.sock.send("".join(f"{word}\n" for word in words).encode(), socket.MSG_NOSIGNAL)
        except OSError:
            return

    def hear(self) -> list[str]:
        """Return the words that came; GONE is the last of them when the other end has hung up."""
        try:
            octets = self.sock.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            octets = b""
        if not octets:
            return [GONE]
        *whole, self._rest = (self._rest + octets).split(b"\n")
        return [word.decode() for word in whole]

    def close(self) -> None:
        """Hang up."""
        self.sock.close()
