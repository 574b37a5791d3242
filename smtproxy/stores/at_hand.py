"""What is at hand of the store, for those who cannot wait: this machine's memory, which is exact over its workers.

Where several machines share a store, what they have counted is fetched beside the session (`fetch`), and what is
counted here goes to all (a note). So a verdict never waits for it, and what a machine has not heard yet it does not
know.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache, partial
from typing import TypeAlias

import trio

from smtproxy.stores.keys import HASHED, compose, private
from smtproxy.stores.memory import RECENT, MemoryStore
from smtproxy.stores.store import Kept, Kind, Record, Store

HELD = 1.0
"""Seconds for which what was counted is held back: a busy sender's mails are then one change of the table, with one
turn at its lock, not one for each mail. A worker that is killed loses them; it counts with them itself at once."""
MOST_HELD = 1000
"""Names."""
ASK_AGAIN = 10.0
"""Seconds for which others are not asked again for the same: the sessions of a busy sender would all ask, and each
question is as dear as a quarter of a message."""
BRING_AGAIN = 1.0
"""Seconds for which they are not asked again for the same text, which a session waits for: a flood of one client asks
once a second, and who has come again to another machine (`policy/greylist.py`) is known here a second later."""
MOST_ASKED = 10_000
"""Names that others were asked for."""

Beside: TypeAlias = Callable[[Callable[[], Awaitable[None]]], object]


class AtHand:
    """The store as `policy/remembering.py` and `policy/greylist.py` want it."""

    __slots__ = ("_asked", "_beside", "_held", "_here", "_key", "_store")

    def __init__(self, store: Store, here: MemoryStore, secret: bytes | None, beside: Beside) -> None:
        """`here`: the memory of this machine, which `store` may be itself; `secret`: for names, None: as they are;
        `beside` runs something beside the sessions.
        """
        self._asked: dict[str, float] = {}
        """Key -> until when others need not be asked for it."""
        self._beside = beside
        self._held: dict[tuple[str, str, float], float] = {}
        self._store = store
        self._here = here
        self._key = lru_cache(maxsize=RECENT)(partial(_key, secret))

    async def run(self) -> None:
        """Count what was held back, over and over; at the end the rest."""
        try:
            while True:
                await trio.sleep(HELD)
                self.settle()
        finally:
            self.settle()

    def settle(self) -> None:
        """Count what was held back here and elsewhere."""
        held, self._held = self._held, {}
        for (purpose, name, half_life), amount in held.items():
            key = self._key(purpose, name)
            self._here.note_add(key, amount, half_life)
            if self._store.waits:
                self._store.note_add(key, amount, half_life)

    def add(self, purpose: str, name: str, half_life: float, amount: float = 1.0) -> None:
        """Count it, in a moment."""
        what = purpose, name, half_life
        self._held[what] = self._held.get(what, 0.0) + amount
        if len(self._held) > MOST_HELD:
            self.settle()

    def count(self, purpose: str, name: str, half_life: float) -> float:
        """Return what has been counted, as far as it is known here."""
        held = self._held.get((purpose, name, half_life), 0.0)
        return self._here.count_now(self._key(purpose, name), half_life) + held

    def mark(self, purpose: str, name: str, seconds: float) -> None:
        """Keep it in mind here and elsewhere."""
        self.put(purpose, name, "", seconds)

    def marked(self, purpose: str, name: str) -> bool:
        """Return whether it was marked, as far as it is known here."""
        return self._here.get_now(self._key(purpose, name)) is not None

    def put(self, purpose: str, name: str, text: str, seconds: float) -> None:
        """Keep a text here and elsewhere."""
        key = self._key(purpose, name)
        self._here.note_put(key, text, seconds)
        if self._store.waits:
            self._store.note_put(key, text, seconds)

    def text(self, purpose: str, name: str) -> str | None:
        """Return a text that was kept, as far as it is known here."""
        kept = self._here.get_now(self._key(purpose, name))
        return None if kept is None else kept.text

    @property
    def shared(self) -> bool:
        """Whether other machines may know what this one does not."""
        return self._store.waits

    async def bring(self, purpose: str, name: str, seconds: float) -> None:
        """Get a text from where all machines keep it, within the deadline of the store; then it is known here.

        Nobody is asked who was asked for the same just now.
        """
        key = self._key(purpose, name)
        if self._just_asked(key):
            return
        kept = await self._store.get(key)
        if kept is not None:
            self._here.put_now(key, kept.text, seconds)
        self._note_asked(key, BRING_AGAIN)  # not before the answer is there: who comes meanwhile must not go without it

    def look(
        self, texts: Sequence[tuple[str, str]], counts: Sequence[tuple[str, str, float]]
    ) -> tuple[list[Kept | None], list[float]]:
        """Return many things at once: with one turn at the lock, which is what a single one costs most of."""
        kept, counted = self._here.look_now(
            [self._key(*one) for one in texts],
            [(self._key(purpose, name), half_life) for purpose, name, half_life in counts],
        )
        if self._held:
            counted = [one + self._held.get(what, 0.0) for one, what in zip(counted, counts, strict=True)]
        return kept, counted

    @property
    def persons(self) -> int:
        """A number that is another one after each change that a person has made on this machine."""
        return self._here.persons

    def pin(self, purpose: str, name: str, text: str, seconds: float) -> bool:
        """Keep what a person has set, on this machine; False: there is no room."""
        return self._here.put_now(self._key(purpose, name), text, seconds, pinned=True)

    def lift(self, purpose: str, name: str) -> bool:
        """Forget something, whoever has set or counted it; True: there was something."""
        return self._here.forget_now(self._key(purpose, name))

    def scan(self, purpose: str) -> list[tuple[str, Record]]:
        """Return the texts of a purpose by name, as it is kept. For people: it looks at everything."""
        prefix = compose(purpose, "")
        return [(key.removeprefix(prefix), one) for key, one in self._here.scan_now(prefix) if one.kind is Kind.TEXT]

    def fetch(self, purpose: str, name: str, half_life: float) -> None:
        """Learn what others have counted, beside the session; nothing is taken away by that."""
        self._ask(self._learn_count, self._key(purpose, name), half_life)

    def fetch_mark(self, purpose: str, name: str, seconds: float) -> None:
        """Learn whether others have marked it, beside the session."""
        self._ask(self._learn_mark, self._key(purpose, name), seconds)

    def _ask(self, learn: Callable[[str, float], Awaitable[None]], key: str, lasting: float) -> None:
        if not self._store.waits:
            return
        if self._just_asked(key):
            return
        self._note_asked(key, ASK_AGAIN)
        self._beside(partial(learn, key, lasting))

    def _just_asked(self, key: str) -> bool:
        return trio.current_time() < self._asked.get(key, -math.inf)

    def _note_asked(self, key: str, seconds: float) -> None:
        if len(self._asked) >= MOST_ASKED:
            self._asked.clear()
        self._asked[key] = trio.current_time() + seconds

    async def _learn_count(self, key: str, half_life: float) -> None:
        more = await self._store.count(key, half_life) - self._here.count_now(key, half_life)
        if more > 0:
            self._here.add_now(key, more, half_life)

    async def _learn_mark(self, key: str, seconds: float) -> None:
        if await self._store.get(key) is not None:
            self._here.put_now(key, "", seconds)


def _key(secret: bytes | None, purpose: str, name: str) -> str:
    """Return the key of what is kept about a name, which may be one that is not said already."""
    return compose(purpose, name if name.startswith(HASHED) else private(name, secret))
