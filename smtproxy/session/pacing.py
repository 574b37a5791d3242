"""A body that is taken slowly: how many octets of it at once, and until when the next ones wait.

There is no clock here. What is not taken lies in the kernel, whose window closes, so it is the client that waits. A
pace must cost time and never the message, so there are two ends to it. The sender's timer runs from its final dot
(RFC 5321 4.5.3.2.6), which may lie behind all the octets that the kernel holds: none of them waits longer than
`patience`. And a large body must fit into the session's time: nothing waits behind `until`.
"""


class Pacing:
    """The pace of one body."""

    __slots__ = ("_next_at", "_patience", "_until", "portion")

    def __init__(self, rate: int, now: float, *, patience: float, until: float) -> None:
        """Begin at `now`. `rate`: octets per second; `patience`: seconds that an octet may wait to be taken."""
        self.portion = rate
        """Octets that may be taken at once: those of one second."""
        self._patience = patience
        self._until = until
        self._next_at = now

    def pause(self, now: float, since: float) -> float | None:
        """Return until when the octets wait that came at `since`, at the earliest; None: they may be taken now."""
        end = min(self._next_at, since + self._patience, self._until)
        return end if end > now else None

    def took(self, octets: int, now: float) -> None:
        """A portion was taken: the next one waits for as long as this one is worth."""
        self._next_at = now + octets / self.portion

    def over(self, now: float) -> None:
        """The pause has ended, whatever the sum of its seconds says: rounding must not make another one of nothing."""
        self._next_at = min(self._next_at, now)
