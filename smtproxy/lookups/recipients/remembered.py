"""What was answered about single addresses: kept for a while, asked once for all who ask the same at the same time.

It must never keep an answer that was none: who could not be asked is asked again by the next one. Who exists and who
does not are kept apart, so that a dictionary attack pushes out others of its kind, and never a mailbox.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

from smtproxy.lookups.recipients.source import Opinion
from smtproxy.lookups.recipients.spelling import Address
from smtproxy.policy.evidence import Known
from smtproxy.policy.facts import RecipientEntry

MOST = 50_000
"""Answers of each kind that are remembered, some 15 MB."""


Said = TypeVar("Said", bound=Opinion)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Said]):
    """What is known of an address, and for how long it counts."""

    opinion: Said
    lives: float = 0.0
    """Seconds; 0: it counts for those who ask now, and is not kept."""


@dataclass(frozen=True, slots=True)
class _Kept:
    known: Known[RecipientEntry]
    since: float
    lives: float


@dataclass(slots=True)
class _Flight(Generic[Said]):
    landed: trio.Event = field(default_factory=trio.Event)
    answer: Answer[Said] | None = None
    """None: whoever asked gave up."""


class Remembered(Generic[Said]):
    """Answers by address."""

    def __init__(self, clock: Callable[[], float], most: int = MOST) -> None:
        """`clock` tells seconds, be it since 1970 or on a clock that only goes forward."""
        self._clock = clock
        self._most = most
        self._yes: OrderedDict[Address, _Kept] = OrderedDict()
        self._no: OrderedDict[Address, _Kept] = OrderedDict()
        self._flights: dict[Address, _Flight[Said]] = {}

    def __len__(self) -> int:
        """Return of how many it is remembered that they exist."""
        return len(self._yes)

    def fresh(self, address: Address) -> Known[RecipientEntry] | None:
        """Return what is remembered and still counts; None: nothing is."""
        kept = self._yes.get(address) or self._no.get(address)
        return None if kept is None or not self._is_within(kept, kept.lives) else kept.known

    def existed(self, address: Address, within: float) -> Known[RecipientEntry] | None:
        """Return what was remembered of an address that existed, however stale it is: for when nobody can be asked."""
        kept = self._yes.get(address)
        return None if kept is None or not self._is_within(kept, within) else kept.known

    def _is_within(self, kept: _Kept, seconds: float) -> bool:
        return 0 <= self._clock() - kept.since < seconds

    async def ask(self, address: Address, question: Callable[[], Awaitable[Answer[Said]]]) -> Said:
        """Let `question` find the answer, once for all who ask meanwhile. It raises nothing."""
        while (flight := self._flights.get(address)) is not None:
            await flight.landed.wait()
            if flight.answer is not None:
                return flight.answer.opinion
        flight, since = _Flight[Said](), self._clock()
        self._flights[address] = flight
        try:
            flight.answer = await question()
        finally:
            del self._flights[address]
            flight.landed.set()
        self._keep(address, flight.answer, since)
        return flight.answer.opinion

    def _keep(self, address: Address, answer: Answer[Said], since: float) -> None:
        """Keep an answer from when it was asked for: what was read meanwhile is younger."""
        if not answer.lives or not isinstance(answer.opinion, Known):
            return
        self.forget(address)
        kept = self._yes if answer.opinion.value.exists else self._no
        kept[address] = _Kept(answer.opinion, since, answer.lives)
        if len(kept) > self._most:
            kept.popitem(last=False)

    def forget(self, address: Address) -> bool:
        """Forget one address; tell whether there was something."""
        return (self._yes.pop(address, None) or self._no.pop(address, None)) is not None

    def forget_before(self, moment: float) -> None:
        """Forget all that was asked for before a moment: since then everything was read."""
        for answers in (self._yes, self._no):
            for address in [address for address, kept in answers.items() if kept.since < moment]:
                del answers[address]

    def clear(self) -> int:
        """Forget everything; return how much it was."""
        number = len(self._yes) + len(self._no)
        self._yes.clear()
        self._no.clear()
        return number
