"""The store in memory: exact over all workers of this machine, gone with the last of them, some microseconds a time.

Must never wait, and never raise for anything that a client says.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from smtproxy.stores import arithmetic
from smtproxy.stores.keys import LONGEST_TEXT, fitted
from smtproxy.stores.store import Kept, Kind, Rate, Record, Taken
from smtproxy.stores.table import CHANGED, Row, Table

RECENT = 4096
"""Keys of which is remembered by what they are found: those of some hundred clients, 1.5 MB."""
_JUMP = 1e-3
"""Seconds by which a time must be off to be another one, and not the same one rounded."""


class MemoryStore:
    """A table as one worker uses it. What finds no place in it is let through, and not remembered."""

    __slots__ = ("_clock", "_table", "_tag")

    waits = False

    def __init__(self, table: Table, clock: Callable[[], float]) -> None:
        """Keep everything in a table; `clock`: seconds since 1970."""
        self._table = table
        self._clock = clock
        self._tag = lru_cache(maxsize=RECENT)(lambda kind, key: table.tag(kind, fitted(key)))

    @property
    def persons(self) -> int:
        """A number that is another one after each change that a person has made, in whichever worker."""
        return self._table.persons

    async def take(self, key: str, rate: Rate, cost: float = 1.0, *, charge: bool = True) -> Taken:
        """Take units if they can be had."""
        return self.take_now(key, rate, cost, charge=charge)

    async def add(self, key: str, amount: float, half_life: float) -> float:
        """Add to a counter."""
        return self.add_now(key, amount, half_life)

    async def count(self, key: str, half_life: float) -> float:
        """Return what a counter has now."""
        return self.count_now(key, half_life)

    async def put(self, key: str, text: str, ttl: float, *, pinned: bool = False) -> bool:
        """Keep a text."""
        return self.put_now(key, text, ttl, pinned=pinned)

    async def get(self, key: str) -> Kept | None:
        """Return what was put."""
        return self.get_now(key)

    async def forget(self, key: str) -> bool:
        """Forget all that is under a key."""
        return self.forget_now(key)

    async def scan(self, prefix: str) -> list[tuple[str, Record]]:
        """Return all whose key begins so."""
        return self.scan_now(prefix)

    def scan_now(self, prefix: str) -> list[tuple[str, Record]]:
        """Do as `scan`, for those who cannot await."""
        table, now = self._table, self._clock()
        with table.lock:
            rows = [table.row(slot) for slot in table.beginning(fitted(prefix))]
        rows = sorted((row for row in rows if row.expires > now), key=lambda row: (row.key, row.kind))
        return [(row.key.decode(errors="replace"), record_of(row, now)) for row in rows]

    def take_now(self, key: str, rate: Rate, cost: float = 1.0, *, charge: bool = True) -> Taken:
        """Do as `take`, for those who cannot await."""
        table, now, octets = self._table, self._clock(), fitted(key)
        tag = table.tag(Kind.LIMIT, octets)
        with table.lock:
            slot = table.find(tag)
            empty_at = 0.0 if slot is None else table.expires[slot]
            taken, after = arithmetic.take(rate, empty_at, now, cost)
            # Refused, it is written only where the clock has jumped back, and the bucket would block for too long.
            if charge and (taken.allowed or after < empty_at - _JUMP):
                self._set(slot, tag, Kind.LIMIT, octets, after, now, rate.interval)
        return taken

    def add_now(self, key: str, amount: float, half_life: float) -> float:
        """Do as `add`, for those who cannot await."""
        table, now, octets = self._table, self._clock(), fitted(key)
        tag = table.tag(Kind.COUNTER, octets)
        with table.lock:
            slot = table.find(tag)
            value = max(self._worth(slot, now, half_life) + amount, 0.0)
            nothing_at = arithmetic.nothing_at(value, now, half_life)
            self._set(slot, tag, Kind.COUNTER, octets, nothing_at, now, half_life)
        return value

    def count_now(self, key: str, half_life: float) -> float:
        """Do as `count`, for those who cannot await."""
        table, now = self._table, self._clock()
        tag = table.tag(Kind.COUNTER, fitted(key))
        with table.lock:
            return self._worth(table.find(tag), now, half_life)

    def put_now(self, key: str, text: str, ttl: float, *, pinned: bool = False) -> bool:
        """Do as `put`, for those who cannot await."""
        table, now, octets, words = self._table, self._clock(), fitted(key), fitted(text, LONGEST_TEXT)
        tag, row = table.tag(Kind.TEXT, octets), Row(Kind.TEXT, octets, now + ttl, now, 0.0, words, pinned)
        with table.lock:
            slot = table.find(tag)
            if pinned:
                table.note_person()
            if slot is None:
                return table.make(tag, row, now) is not None
            lives, was_pinned = table.expires[slot] > now, table.is_pinned(slot)
            if lives and was_pinned and not pinned:
                return False
            if lives and table.text(slot) == words and was_pinned == pinned:
                table.expires[slot], table.marks[slot] = row.expires, CHANGED
            else:
                table.write(slot, tag, row)
        return True

    def get_now(self, key: str) -> Kept | None:
        """Do as `get`, for those who cannot await."""
        (kept,), _ = self.look_now((key,), ())
        return kept

    def look_now(
        self, texts: Sequence[str], counters: Sequence[tuple[str, float]]
    ) -> tuple[list[Kept | None], list[float]]:
        """Return texts, and counters by key and half-life, in one turn at the lock."""
        table, now, kept = self._table, self._clock(), list[Kept | None]()
        tags = [self._tag(Kind.TEXT, key) for key in texts]
        counted = [(self._tag(Kind.COUNTER, key), half_life) for key, half_life in counters]
        with table.lock:
            for tag in tags:
                slot = table.find(tag)
                if slot is None or table.expires[slot] <= now:
                    kept.append(None)
                else:
                    text = table.text(slot).decode(errors="replace")
                    kept.append(Kept(text, table.since[slot], table.expires[slot]))
            values = [self._worth(table.find(tag), now, half_life) for tag, half_life in counted]
        return kept, values

    def forget_now(self, key: str) -> bool:
        """Do as `forget`, for those who cannot await."""
        table, now, octets, found = self._table, self._clock(), fitted(key), False
        with table.lock:
            table.note_person()
            for kind in Kind:
                slot = table.find(table.tag(kind, octets))
                if slot is not None:
                    found = found or table.expires[slot] > now
                    table.clear(slot)
        return found

    def note_take(self, key: str, rate: Rate, cost: float = 1.0) -> None:
        """Charge units after the fact."""
        table, now, octets = self._table, self._clock(), fitted(key)
        tag = table.tag(Kind.LIMIT, octets)
        with table.lock:
            slot = table.find(tag)
            after = arithmetic.charge(rate, 0.0 if slot is None else table.expires[slot], now, cost)
            self._set(slot, tag, Kind.LIMIT, octets, after, now, rate.interval)

    def note_add(self, key: str, amount: float, half_life: float) -> None:
        """Add to a counter."""
        self.add_now(key, amount, half_life)

    def note_put(self, key: str, text: str, ttl: float) -> None:
        """Keep a text."""
        self.put_now(key, text, ttl)

    def _worth(self, slot: int | None, now: float, half_life: float) -> float:
        table = self._table
        if slot is None or table.expires[slot] <= now:
            return 0.0
        # The half-life it was written with, which an earlier configuration may have set; and where the clock has jumped
        # back it is worth what it was worth then: else an hour would make millions of a few.
        return arithmetic.worth(table.expires[slot], max(now, table.since[slot]), table.scales[slot] or half_life)

    def _set(
        self, slot: int | None, tag: int, kind: Kind, key: bytes, expires: float, now: float, scale: float
    ) -> None:
        """Write a limit or counter: two numbers, each whole by itself, if all the rest is there."""
        table = self._table
        if slot is not None and table.expires[slot] > now and table.scales[slot] == scale:
            table.expires[slot], table.since[slot], table.marks[slot] = expires, now, CHANGED
        elif slot is not None:
            table.write(slot, tag, Row(kind, key, expires, now, scale))
        elif expires > now:
            table.make(tag, Row(kind, key, expires, now, scale), now)


def record_of(row: Row, now: float) -> Record:
    """Return a row as people look at it."""
    number = 0.0
    if row.kind is Kind.LIMIT:
        number = arithmetic.level(row.expires, now, row.scale)
    elif row.kind is Kind.COUNTER:
        number = arithmetic.worth(row.expires, max(now, row.since), row.scale)
    return Record(row.kind, row.text.decode(errors="replace"), number, row.since, row.expires, row.pinned)
