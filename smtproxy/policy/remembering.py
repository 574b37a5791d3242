"""Where it is kept what is learned of senders: the protocol that a store is asked through where nobody can wait.

Names are addresses, networks and domains; a purpose says what is kept of them. Where nothing is kept, nothing is known.
"""

from collections.abc import Sequence
from typing import Protocol


class Said(Protocol):
    """A text that was kept, with seconds since 1970."""

    @property
    def text(self) -> str:
        """At most 64 octets."""
        ...

    @property
    def since(self) -> float:
        """When this text was kept first."""
        ...

    @property
    def expires(self) -> float:
        """When it will be forgotten."""
        ...


class Remembering(Protocol):
    """Where it is kept. Nothing here waits, and nothing raises."""

    @property
    def persons(self) -> int:
        """A number that is another one after each change that a person has made."""
        ...

    def add(self, purpose: str, name: str, half_life: float, amount: float = 1.0) -> None:
        """Add to what is counted under a name; it halves in so many seconds."""

    def count(self, purpose: str, name: str, half_life: float) -> float:
        """Return what has been counted."""

    def mark(self, purpose: str, name: str, seconds: float) -> None:
        """Keep in mind for so long that something was so."""

    def marked(self, purpose: str, name: str) -> bool:
        """Return whether it was."""

    def put(self, purpose: str, name: str, text: str, seconds: float) -> None:
        """Keep a text for so long."""

    def look(
        self, texts: Sequence[tuple[str, str]], counts: Sequence[tuple[str, str, float]]
    ) -> tuple[Sequence[Said | None], Sequence[float]]:
        """Return many things at once, in this order: texts by purpose and name, counts by these and half-life."""

    def fetch(self, purpose: str, name: str, half_life: float) -> None:
        """Begin to find out what other machines have counted, if there are any."""

    def fetch_mark(self, purpose: str, name: str, seconds: float) -> None:
        """Begin to find out whether other machines have marked it; it is kept in mind for so long then."""


class Forgetful:
    """Nowhere: for sessions that are only thought of."""

    persons = 0

    def add(self, purpose: str, name: str, half_life: float, amount: float = 1.0) -> None:
        """Forget it."""

    def count(self, _purpose: str, _name: str, _half_life: float) -> float:
        """Nothing is known."""
        return 0.0

    def mark(self, purpose: str, name: str, seconds: float) -> None:
        """Forget it."""

    def put(self, purpose: str, name: str, text: str, seconds: float) -> None:
        """Forget it."""

    def marked(self, _purpose: str, _name: str) -> bool:
        """Nothing is known."""
        return False

    def look(
        self, texts: Sequence[tuple[str, str]], counts: Sequence[tuple[str, str, float]]
    ) -> tuple[Sequence[Said | None], Sequence[float]]:
        """Nothing is known."""
        return [None] * len(texts), [0.0] * len(counts)

    def fetch(self, purpose: str, name: str, half_life: float) -> None:
        """There is nobody else."""

    def fetch_mark(self, purpose: str, name: str, seconds: float) -> None:
        """There is nobody else."""
