"""A table of slots in memory that all workers share: they see one state, and it is exact.

A slot is known by 64 bits of a keyed hash of its key, and lies in one of the places of one bucket: it is found in one
look, and nobody can choose whose entry his own pushes out. Where a bucket is full, what has expired goes first, then
what expires soonest; what a person has put never does.

A worker that is killed in the middle of a write leaves no half entry. What changes most, the time at which an entry
expires (`arithmetic.py`), is one aligned number, which the machine writes whole. Whoever writes more takes the hash
away first and puts it back last: killed in between, he leaves a free slot.

Whoever looks and then writes holds `lock`, from the one to the other. Must never be used by two threads of a process:
such a lock does not know them (`network/record_lock.py`).
"""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from smtproxy.stores.keys import LONGEST_KEY, LONGEST_TEXT
from smtproxy.stores.store import Kind

WAYS = 16
"""Places of a bucket. There are half as many places again as entries; once all are there, 1 in 100 pushed one out."""
CLEAN, CHANGED, COPIED = 0, 1, 2
"""Marks of a slot: the file has it; it has changed since; somebody is writing it to the file."""
SEED = 16
"""Octets of the key of the hash."""
_BODY = struct.Struct(f"<BBBB{LONGEST_KEY}s{LONGEST_TEXT}s")
_NUMBERS = 4
_SLOT = 8 * _NUMBERS + 1 + _BODY.size
_MASK = (1 << 64) - 1
_KINDS = tuple(bytes([kind]) for kind in range(max(Kind) + 1))


@dataclass(frozen=True, slots=True)
class Row:
    """The contents of a slot."""

    kind: Kind
    key: bytes
    expires: float
    since: float = 0.0
    scale: float = 0.0
    """Seconds: of a limit the interval of a unit, of a counter its half-life."""
    text: bytes = b""
    pinned: bool = False


class Table:
    """Slots, known by their number."""

    __slots__ = ("_bodies", "_buckets", "_set", "_tags", "expires", "lock", "marks", "scales", "seed", "since")

    def __init__(
        self,
        memory: memoryview,
        entries: int,
        seed: bytes,
        lock: contextlib.AbstractContextManager[None] | None = None,
    ) -> None:
        """Use `octets(entries)` octets: zeros, or what another table of the same shape and seed has left there."""
        self.lock: contextlib.AbstractContextManager[None] = contextlib.nullcontext() if lock is None else lock
        self.seed = seed
        self._buckets = _buckets(entries)
        slots = self._buckets * WAYS
        column = 8 * slots
        self._tags = memory[:column].cast("Q")
        self.expires = memory[column : 2 * column].cast("d")
        """For each slot: when its entry ends. Who changes it marks the slot."""
        self.since = memory[2 * column : 3 * column].cast("d")
        self.scales = memory[3 * column : 4 * column].cast("d")
        self.marks = memory[_NUMBERS * column : _NUMBERS * column + slots]
        """For each slot: whether it has changed."""
        self._bodies = memory[_NUMBERS * column + slots : slots * _SLOT]
        self._set = memory[slots * _SLOT : slots * _SLOT + 8].cast("Q")

    @property
    def slots(self) -> int:
        """How many there are."""
        return self._buckets * WAYS

    @property
    def persons(self) -> int:
        """A number that is another one after each change that a person has made."""
        return self._set[0]

    def note_person(self) -> None:
        """A person has changed something. Whoever holds the lock says so."""
        self._set[0] = (self._set[0] + 1) & _MASK

    def tag(self, kind: Kind, key: bytes) -> int:
        """Return what a key is known by, never 0. The kind is a part of it: no key is of the wrong kind."""
        digest = blake2b(_KINDS[kind] + key, digest_size=8, key=self.seed).digest()
        return int.from_bytes(digest, "little") or 1

    def find(self, tag: int) -> int | None:
        """Return the slot of an entry, which may have expired."""
        first = tag % self._buckets * WAYS
        tags = self._tags[first : first + WAYS].tolist()
        return first + tags.index(tag) if tag in tags else None

    def make(self, tag: int, row: Row, now: float) -> int | None:
        """Write an entry that has no slot yet into one; None: its whole bucket was put by people."""
        first = tag % self._buckets * WAYS
        best, soonest = None, float("inf")
        for slot in range(first, first + WAYS):
            if not self._tags[slot] or self.expires[slot] <= now:
                best = slot
                break
            if self.expires[slot] < soonest and not self._bodies[slot * _BODY.size + 1]:
                best, soonest = slot, self.expires[slot]
        if best is not None:
            self.write(best, tag, row)
        return best

    def write(self, slot: int, tag: int, row: Row) -> None:
        """Write all of a slot."""
        self.marks[slot] = CHANGED
        self._tags[slot] = 0
        self.expires[slot] = row.expires
        self.since[slot] = row.since
        self.scales[slot] = row.scale
        size = _BODY.size
        self._bodies[slot * size : (slot + 1) * size] = _BODY.pack(
            row.kind, row.pinned, len(row.key), len(row.text), row.key, row.text
        )
        self._tags[slot] = tag

    def clear(self, slot: int) -> None:
        """Free a slot."""
        self.marks[slot] = CHANGED
        self._tags[slot] = 0

    def is_free(self, slot: int) -> bool:
        """Whether there is no entry."""
        return not self._tags[slot]

    def row(self, slot: int) -> Row:
        """Read all of a slot that is not free."""
        size = _BODY.size
        kind, pinned, key, text, octets, words = _BODY.unpack(self._bodies[slot * size : (slot + 1) * size])
        numbers = self.expires[slot], self.since[slot], self.scales[slot]
        return Row(Kind(kind), octets[:key], *numbers, words[:text], bool(pinned))

    def text(self, slot: int) -> bytes:
        """Read the text of a slot."""
        at = slot * _BODY.size
        return bytes(self._bodies[at + 4 + LONGEST_KEY : at + 4 + LONGEST_KEY + self._bodies[at + 3]])

    def is_pinned(self, slot: int) -> bool:
        """Whether a person has put it."""
        return bool(self._bodies[slot * _BODY.size + 1])

    def beginning(self, prefix: bytes) -> Iterator[int]:
        """Find the slots whose key begins so, expired ones included. It looks at all: a slot takes about 0.1 µs."""
        start, end = 4, 4 + len(prefix)
        for slot, tag in enumerate(self._tags):
            at = slot * _BODY.size
            if tag and self._bodies[at + start : at + end] == prefix and self._bodies[at + 2] >= len(prefix):
                yield slot

    def occupied(self, first: int, number: int) -> list[int]:
        """Return those of so many slots, from the first on, that are not free."""
        return [first + place for place, tag in enumerate(self._tags[first : first + number].tolist()) if tag]

    def place(self, slot: int, row: Row) -> bool:
        """Put what a file had in a slot back there, unmarked; False: it does not belong there, and is marked."""
        if not 0 <= slot < self.slots:
            return False
        tag = self.tag(row.kind, row.key)
        fits = slot // WAYS == tag % self._buckets and self.is_free(slot)
        if fits:
            self.write(slot, tag, row)
        self.marks[slot] = CLEAN if fits else CHANGED
        return fits

    def marked(self, mark: int, most: int) -> list[int]:
        """Return the first slots with a mark, at most so many."""
        marks, found, sought, slot = bytes(self.marks), list[int](), bytes([mark]), -1
        while len(found) < most and (slot := marks.find(sought, slot + 1)) >= 0:
            found.append(slot)
        return found


def octets(entries: int) -> int:
    """Return how large a table for so many entries is."""
    return _buckets(entries) * WAYS * _SLOT + 8


def _buckets(entries: int) -> int:
    return -(-3 * entries // (2 * WAYS))
