"""What was answered about single addresses: kept for a while, asked once for all who ask the same at the same time.

It must never keep an answer that was none: who could not be asked is asked again by the next one.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from smtproxy.lookups.recipients.source import Opinion
from smtproxy.lookups.recipients.spelling import Address
from smtproxy.policy.evidence import Known

MOST = 50_000
"""Addresses that are remembered, some 15 MB: those of a dictionary attack push each other out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an address, and for how long it counts."""

    opinion: Opinion
    lives: float = 0.0
    """Seconds; 0: it counts for those who ask now, and is not kept."""


@dataclass(frozen=True, slots=True)
class _Kept:
    opinion: Opinion
    since: float
    lives: float


@dataclass(slots=True)
class _Flight:
    landed: trio.Event = field(default_factory=trio.Event)
    answer: Answer | None = None
    """None: whoever asked gave up."""


class Remembered:
    """Answers by address."""

    def __init__(self, clock: Callable[[], float], most: int = MOST) -> None:
        """`clock` tells seconds since 1970."""
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[Address, _Kept] = OrderedDict()
        self._flights: dict[Address, _Flight] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def fresh(self, address: Address) -> Opinion:
        """Return what is remembered and still counts; None: nothing is."""
        kept = self._kept.get(address)
        return kept.opinion if kept is not None and 0 <= self._clock() - kept.since < kept.lives else None

    def existed(self, address: Address, within: float) -> Opinion:
        """Return what was remembered of an address that existed, however stale it is: for when nobody can be asked."""
        kept = self._kept.get(address)
        if kept is None or not isinstance(kept.opinion, Known) or not kept.opinion.value.exists:
            return None
        return kept.opinion if 0 <= self._clock() - kept.since < within else None

    async def ask(self, address: Address, question: Callable[[], Awaitable[Answer]]) -> Opinion:
        """Let `question` find the answer, once for all who ask meanwhile. It raises nothing."""
        while True:
            flight = self._flights.get(address)
            if flight is None:
                return await self._fly(address, question)
            await flight.landed.wait()
            if flight.answer is not None:
                return flight.answer.opinion

    async def _fly(self, address: Address, question: Callable[[], Awaitable[Answer]]) -> Opinion:
        flight = self._flights[address] = _Flight()
        try:
            answer = flight.answer = await question()
        finally:
            del self._flights[address]
            flight.landed.set()
        if answer.lives:
            self._keep(address, answer)
        return answer.opinion

    def _keep(self, address: Address, answer: Answer) -> None:
        self._kept[address] = _Kept(answer.opinion, self._clock(), answer.lives)
        self._kept.move_to_end(address)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def forget(self, address: Address) -> bool:
        """Forget one address; tell whether there was something."""
        return self._kept.pop(address, None) is not None

    def clear(self) -> int:
        """Forget everything; return how much it was."""
        number = len(self._kept)
        self._kept.clear()
        return number
