"""A bound on memory that all sessions of a process share: who wants to keep octets asks first."""


class Memory:
    """A number of octets that may be kept."""

    __slots__ = ("_left",)

    def __init__(self, total: int) -> None:
        """Allow `total` octets at the same time."""
        self._left = total

    def take(self, octets: int) -> bool:
        """Reserve octets; False: there is no room for them, and nothing was reserved."""
        if octets > self._left:
            return False
        self._left -= octets
        return True

    def give(self, octets: int) -> None:
        """Return octets that were reserved."""
        self._left += octets

    @property
    def left(self) -> int:
        """Octets still to be had."""
        return self._left
