"""What the sample backend has said and not sent yet, and which message's reply is out.

It cuts what is due into segments; it must never decide what is said, nor when.
"""

from collections import deque
from dataclasses import dataclass

from smtproxy.sample.record import Connection, Delivery


@dataclass(frozen=True, slots=True)
class Rest:
    """What was due when a rule interrupted the sending; with the messages it answers."""

    octets: bytes
    deliveries: tuple[tuple[int, Delivery], ...]


class Outlet:
    """The way out of one connection."""

    def __init__(self, connection: Connection, *, keep: bool) -> None:
        self.sent = 0
        """Octets that left."""
        self.octet_by_octet = False
        self._connection = connection
        self._keep = keep
        self._due = bytearray()
        self._deliveries: deque[tuple[int, Delivery]] = deque()

    def __len__(self) -> int:
        """Octets that are due."""
        return len(self._due)

    def say(self, octets: bytes, delivery: Delivery | None = None) -> None:
        """These octets are due; they answer this message."""
        self._due += octets
        if delivery is not None:
            delivery.reply += octets
            self._deliveries.append((self.sent + len(self._due), delivery))

    def segment(self, limit: int | None) -> bytes:
        """The next octets to send, at most `limit`; they count as sent."""
        size = 1 if self.octet_by_octet else len(self._due)
        octets = bytes(self._due[: size if limit is None else min(size, limit)])
        del self._due[: len(octets)]
        self.sent += len(octets)
        if self._keep:
            self._connection.sent += octets
        while self._deliveries and self._deliveries[0][0] <= self.sent:
            self._deliveries.popleft()[1].replied = True
        return octets

    def park(self) -> Rest:
        """Take away what is due."""
        rest = Rest(bytes(self._due), tuple((at - self.sent, delivery) for at, delivery in self._deliveries))
        self._due.clear()
        self._deliveries.clear()
        return rest

    def resume(self, rest: Rest) -> None:
        """It is due again, behind what became due since."""
        start = self.sent + len(self._due)
        self._deliveries.extend((start + at, delivery) for at, delivery in rest.deliveries)
        self._due += rest.octets
