"""Answers that are kept: for as long as they hold, in bounded memory, the longest unused goes first.

Negative ones are kept too (RFC 2308), as are failures for a moment (RFC 2308 7): a domain whose servers are dead is
asked for by each session that brings its mail.
"""

from collections import OrderedDict
from typing import TypeAlias

from smtproxy.network.dns.answers import Answer

Key: TypeAlias = tuple[str, str]
"""Name in lower case, and type."""

_ENTRY = 520
"""Octets of an entry without its texts, rounded up; measured (tests/network/dns/test_cache.py)."""
_TEXT = 60
"""Octets of a text without its characters, and of its place in a tuple."""


def size(key: Key, answer: Answer) -> int:
    """Return the octets of memory that an entry takes, about, and rather too many."""
    records = answer.records
    return _ENTRY + len(key[0]) + len(records) * _TEXT + sum(map(len, records))


class Cache:
    """At most so many entries, and so many octets."""

    def __init__(self, entries: int, octets: int) -> None:
        """Begin with nothing."""
        self._most_entries = entries
        self._most_octets = octets
        self._kept: OrderedDict[Key, tuple[Answer, float]] = OrderedDict()
        self.octets = 0
        """Taken, about."""

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key, now: float) -> Answer | None:
        """Return what is known and still holds."""
        found = self._kept.get(key)
        if found is None:
            return None
        answer, until = found
        if until <= now:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return answer

    def put(self, key: Key, answer: Answer, until: float) -> None:
        """Keep an answer; others go where there is no room. One that would take a tenth of it all is not kept."""
        if key in self._kept:
            self._drop(key)
        octets = size(key, answer)
        if octets * 10 > self._most_octets:
            return
        self._kept[key] = answer, until
        self.octets += octets
        while len(self._kept) > self._most_entries or self.octets > self._most_octets:
            self._drop(next(iter(self._kept)))

    def forget(self, zone: str) -> None:
        """Drop what is known of a name and all names below it."""
        below = f".{zone}"
        for key in [key for key in self._kept if key[0] == zone or key[0].endswith(below)]:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        answer, _ = self._kept.pop(key)
        self.octets -= size(key, answer)
