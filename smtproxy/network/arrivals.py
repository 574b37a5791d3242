"""When octets came that lay in the kernel before they were read: a lower bound, by how much was queued at each read.

While a session waits for a slow backend nobody reads the client, and its final dot may lie there for minutes. Its
sender's timer runs all the while (RFC 5321 4.5.3.2.6), so `commit_by` must not begin with our reading it (RFC 1047: a
late commit makes a duplicate). An octet that was not among those queued at some time came after that time.
"""

import fcntl
import socket
import sys
import termios

_NOTHING = bytes(4)


def queued(sock: socket.socket) -> int:
    """Return how many octets wait to be read. FIONREAD, tcp(7)"""
    return int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, _NOTHING), sys.byteorder)


class Arrivals:
    """What is known while the socket is not empty. Positions count octets from the first; times are those of events."""

    __slots__ = ("_seen",)

    def __init__(self, empty_at: float, position: int) -> None:
        """Nothing behind `position` had come before `empty_at`."""
        self._seen = [(empty_at, position)]
        """Not a deque, which has 600 octets, for each early talker that sits in a tarpit."""

    def reading(self, now: float, position: int, waiting: int) -> float:
        """Return since when the first octet behind `position` may have lain there; `waiting` are there now.

        Bounded: each entry lies above the octets read, so there are no more than reads fit into the receive buffer.
        """
        seen = self._seen
        passed = 0
        while passed + 1 < len(seen) and seen[passed + 1][1] <= position:
            passed += 1
        del seen[:passed]
        since = seen[0][0]
        seen.append((now, position + waiting))
        return since
