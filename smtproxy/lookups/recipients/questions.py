"""Questions about single addresses, and what was answered: for whom a copy lacks, or where there is no copy.

Whoever asks at random (a harvest of the directory) must not become load there. So an answer is remembered, a "no" for
a short while and a "yes" for longer; all who ask the same at the same time ask once; so many questions a minute and no
more are asked. It must never make an answer of its own: what could not be asked is Unknown.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from smtproxy.lookups.recipients.entries import MISSING, SourceError, find
from smtproxy.lookups.recipients.exchange import Item, entries_of
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import RecipientEntry

MOST: Final = 50_000
"""Answers of each kind that are remembered, some 15 MB: a harvest pushes out other "no" and never a "yes"."""
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


@dataclass(frozen=True, slots=True)
class _Answer:
    entry: RecipientEntry
    since: float


class _Flight:
    """A question that is being asked."""

    __slots__ = ("answer", "landed")

    def __init__(self) -> None:
        self.landed = trio.Event()
        self.answer: Fact[RecipientEntry] | None = None
        """None after landing: whoever asked was called off."""


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
        self._yes: OrderedDict[Address, _Answer] = OrderedDict()
        self._no: OrderedDict[Address, _Answer] = OrderedDict()
        self._flights: dict[Address, _Flight] = {}
        self._next = 0.0
        """When the next question would be asked, if all were asked at the same pace."""
        self.asked = 0
        """Questions that were asked."""

    def __len__(self) -> int:
        return len(self._yes)

    def remembered(self, address: Address) -> RecipientEntry | None:
        """Return an answer that counts; None: there is none."""
        for answers, ttl in ((self._yes, self._settings.positive_ttl), (self._no, self._settings.negative_ttl)):
            answer = answers.get(address)
            if answer is not None and self._clock() - answer.since < ttl:
                return answer.entry
        return None

    def outlived(self, address: Address) -> RecipientEntry | None:
        """Return a "yes" that counts while nobody can be asked; None: there is none."""
        answer = self._yes.get(address)
        return None if answer is None or self._clock() - answer.since > self._settings.max_age else answer.entry

    def full(self) -> bool:
        """Whether so many questions were asked that the next has to wait."""
        return self._next > self._clock()

    async def ask(self, address: Address) -> Fact[RecipientEntry]:
        """Ask, or wait for whoever asks the same already."""
        while (flight := self._flights.get(address)) is not None:
            await flight.landed.wait()
            if flight.answer is not None:
                return flight.answer
        if self.full():
            return Unknown(TOO_MANY)
        now, step = self._clock(), 60 / self._settings.per_minute
        self._next = max(self._next, now - BURST) + step
        flight = self._flights[address] = _Flight()
        try:
            flight.answer = await self._asked(address, now)
            return flight.answer
        finally:
            del self._flights[address]
            flight.landed.set()

    async def _asked(self, address: Address, now: float) -> Fact[RecipientEntry]:
        self.asked += 1
        try:
            items = await self._search(self._spelling.forms(address))
        except SourceError as error:
            return Unknown(str(error))
        # What was found counts only where it has the address: a server may compare otherwise than we do.
        entry = find(entries_of(items, self._spelling).by_address, self._spelling, address) or MISSING
        self.forget(address)
        answers = self._yes if entry.exists else self._no
        answers[address] = _Answer(entry, now)
        if len(answers) > MOST:
            answers.popitem(last=False)
        return Known(entry)

    def forget(self, address: Address) -> bool:
        """Forget the answer about an address; tell whether there was one."""
        return (self._yes.pop(address, None) or self._no.pop(address, None)) is not None

    def forget_before(self, moment: float) -> None:
        """Forget all that was answered before a moment: since then everything was read."""
        for answers in (self._yes, self._no):
            for address in [address for address, answer in answers.items() if answer.since < moment]:
                del answers[address]

    def now(self) -> float:
        """Return the moment, for `forget_before`."""
        return self._clock()
