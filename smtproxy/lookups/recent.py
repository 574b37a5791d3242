"""Facts found a moment ago: a sender that sends a hundred mails in a row is looked up once, not a hundred times.

For facts that rest on nothing but the DNS and what they are asked about. The answers are in memory anyway; what is
saved is reading them again, some 10 microseconds a fact. Answers of lists are never kept so: they count while their
list is well (`fuse.py`), and not a moment longer.
"""

from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

from smtproxy.network.inquiry import Inquiry, Lookup
from smtproxy.policy.evidence import Fact, Known

T = TypeVar("T")

MOMENT: Final = 5.0
"""Seconds for which a fact may outlive the answers it rests on: as long as the resolver keeps a failure."""
MOST: Final = 2000
"""Facts of a kind, some 500 octets each."""

Clock = Callable[[], float]
"""Seconds, on any clock that goes forward."""


class Recent(Generic[T]):
    """Facts of one kind, by what they are about."""

    __slots__ = ("_clock", "_kept")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, object, Fact[T]]] = {}

    def get(self, about: Hashable, given: object = None) -> Fact[T] | None:
        """Return the fact, if it was found a moment ago and what was `given` then was equal."""
        kept = self._kept.get(about)
        if kept is None or kept[0] <= self._clock() or kept[1] != given:
            return None
        return kept[2]

    def keep(self, about: Hashable, fact: Fact[T], given: object = None) -> None:
        """Keep it for a moment; not knowing is not kept."""
        if isinstance(fact, Known):
            if len(self._kept) >= MOST:
                self._kept.clear()  # a moment is short: what is in use is there again at once
            self._kept[about] = self._clock() + MOMENT, given, fact


def recent(lookup: Lookup[T], about: Callable[[Inquiry], Hashable], clock: Clock) -> Lookup[T]:
    """Return the lookup with a memory for a moment; `about`: all that the fact depends on, the DNS aside."""
    kept: Recent[T] = Recent(clock)

    async def find(inquiry: Inquiry) -> Fact[Any]:
        key = about(inquiry)
        found = kept.get(key)
        if found is None:
            found = await lookup.find(inquiry)
            kept.keep(key, found)
        return found

    return Lookup(lookup.key, find, lookup.quick)
