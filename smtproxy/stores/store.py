"""What a store is: the small protocol that all of them speak, and the values it speaks in.

A store never raises into a session and never makes it wait longer than a deadline of its own: what it cannot do it
forgets. It must never hold content of mail: its texts are names, numbers and dates.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rate:
    """How much is let through."""

    amount: float
    """Units in each period, above 0."""
    period: float
    """Seconds, above 0."""
    burst: float
    """Units that may come in one moment. More than this at once is never let through."""

    @property
    def interval(self) -> float:
        """Seconds after which a unit has leaked."""
        return self.period / self.amount


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a wish for units."""

    allowed: bool
    wait: float
    """Seconds until the same wish would be allowed; 0: now; infinite: it is above the burst."""
    left: float
    """Units that can be had at once after this."""


class Kind(IntEnum):
    """What a key stands for. Two kinds may have the same key: they know nothing of each other."""

    LIMIT = 1
    COUNTER = 2
    TEXT = 3


@dataclass(frozen=True, slots=True)
class Kept:
    """A text that was put, with seconds since 1970."""

    text: str
    since: float
    """When this text was put first; putting it once more changes `expires` alone."""
    expires: float


@dataclass(frozen=True, slots=True)
class Record:
    """Anything that is kept, as people look at it."""

    kind: Kind
    text: str
    """Of a TEXT; else empty."""
    number: float
    """Of a LIMIT the units that have not leaked yet, of a COUNTER its value now; else 0."""
    since: float
    """Of a TEXT when it was put first, else when it last changed, in seconds since 1970; 0: the store does not know."""
    expires: float
    """When it will be forgotten: a limit when it is empty, a counter when it is next to nothing."""
    pinned: bool
    """A person has put it, and no other entry takes its place."""


class Store(Protocol):
    """Somewhere to remember. Keys as `keys.py` composes them; times are the wall clock's, as they outlive the process.

    Operations are coroutines. Where `waits` is False they never wait: driven by hand, one step ends them.
    """

    @property
    def waits(self) -> bool:
        """Whether an operation may have to wait for somebody else."""
        ...

    async def take(self, key: str, rate: Rate, cost: float = 1.0, *, charge: bool = True) -> Taken:
        """Take `cost` units if they can be had; refused units cost nothing. `charge=False`: only look."""
        ...

    async def add(self, key: str, amount: float, half_life: float) -> float:
        """Add to a counter that halves in `half_life` seconds; return what it has come to, never below 0."""
        ...

    async def count(self, key: str, half_life: float) -> float:
        """Return what a counter has now."""
        ...

    async def put(self, key: str, text: str, ttl: float, *, pinned: bool = False) -> bool:
        """Keep a text for `ttl` seconds; `pinned`: a person wants it. False: it was not kept.

        What a person has put is changed by persons alone, until it expires.
        """
        ...

    async def get(self, key: str) -> Kept | None:
        """Return what was put."""
        ...

    async def forget(self, key: str) -> bool:
        """Forget all that is under a key; True: there was something."""
        ...

    async def scan(self, prefix: str) -> list[tuple[str, Record]]:
        """Return all whose key begins so, by key. For people: it looks at everything."""
        ...

    def note_take(self, key: str, rate: Rate, cost: float = 1.0) -> None:
        """Charge units after the fact, whether they can be had or not; nobody waits for it."""
        ...

    def note_add(self, key: str, amount: float, half_life: float) -> None:
        """Do as `add`; nobody waits for it."""
        ...

    def note_put(self, key: str, text: str, ttl: float) -> None:
        """Do as `put`; nobody waits for it."""
        ...
