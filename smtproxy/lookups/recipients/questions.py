"""Questions to a directory about single addresses: for whom a copy lacks, or where there is no copy.

Whoever asks at random (a harvest of the directory) must not become load there. So an answer is remembered, a "no" for
a short while and a "yes" for longer; all who ask the same at the same time ask once; so many questions a minute and no
more are asked. It must never make an answer of its own: what could not be asked is Unknown.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from smtproxy.lookups.recipients.entries import MISSING, SourceError, find
from smtproxy.lookups.recipients.exchange import Item, entries_of
from smtproxy.lookups.recipients.remembered import Answer, Remembered
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import RecipientEntry

BURST: Final = 10.0
"""Seconds whose questions may be asked at once."""
TOO_MANY: Final = "more questions than questions_per_minute"


@dataclass(frozen=True, slots=True)
class QuestionSettings:
    """The settings."""

    positive_ttl: float = 900.0
    """Seconds that a "yes" counts."""
    negative_ttl: float = 60.0
    """Seconds that a "no" counts."""
    per_minute: int = 3000
    """Questions that a worker asks."""
    max_age: float = 86400.0
    """Seconds that a "yes" counts while the directory cannot be asked."""


class Questions:
    """The questions of one source."""

    def __init__(
        self,
        settings: QuestionSettings,
        spelling: Spelling,
        search: Callable[[Sequence[Address]], Awaitable[list[Item]]],
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """`search` finds the objects that have one of the addresses, within bounds, or raises SourceError."""
        self._settings = settings
        self._spelling = spelling
        self._search = search
        self._clock = clock
        self._answers = Remembered[Fact[RecipientEntry]](clock)
        self._next = 0.0
        """When the next question would be asked, if all were asked at the same pace."""
        self.asked = 0
        """Questions that were asked."""
        self.forget = self._answers.forget
        self.forget_before = self._answers.forget_before

    def __len__(self) -> int:
        return len(self._answers)

    def remembered(self, address: Address) -> Known[RecipientEntry] | None:
        """Return an answer that counts; None: there is none."""
        return self._answers.fresh(address)

    def outlived(self, address: Address) -> Known[RecipientEntry] | None:
        """Return a "yes" that counts while nobody can be asked; None: there is none."""
        return self._answers.existed(address, self._settings.max_age)

    def full(self) -> bool:
        """Whether so many questions were asked that the next has to wait."""
        return self._next > self._clock()

    async def ask(self, address: Address) -> Fact[RecipientEntry]:
        """Ask, or wait for whoever asks the same already."""
        return await self._answers.ask(address, lambda: self._asked(address))

    async def _asked(self, address: Address) -> Answer[Fact[RecipientEntry]]:
        if self.full():
            return Answer(Unknown(TOO_MANY))
        self._next = max(self._next, self._clock() - BURST) + 60 / self._settings.per_minute
        self.asked += 1
        try:
            items = await self._search(self._spelling.forms(address))
        except SourceError as error:
            return Answer(Unknown(str(error)))
        # What was found counts only where it has the address: a server may compare otherwise than we do.
        entry = find(entries_of(items, self._spelling).by_address, self._spelling, address) or MISSING
        return Answer(Known(entry), self._settings.positive_ttl if entry.exists else self._settings.negative_ttl)

    def now(self) -> float:
        """Return the moment, for `forget_before`."""
        return self._clock()
