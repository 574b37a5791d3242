"""Fact `greylist`: who a sender is, and whether that one has come again before.

It reads what is at hand. Only of somebody who is unknown here, and only where machines share a store, that is asked,
too: a retry at another machine must count. It writes nothing: what a verdict means is learned by
`policy/greylist.py` when there is one.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from smtproxy.lookups.dmarc import organisation
from smtproxy.network.inquiry import Inquiry, Lookup, NotAtHand
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import GREYLIST, REVERSE_NAME, SPF, Greylist
from smtproxy.policy.greylist import GOOD_RECORD, GreylistMemory, Texts, attempt_name, sender_key

Good = Callable[[str, Iterable[str]], bool]
"""Whether a client, or a domain that it has proven, has a good record."""


class Shelf(Texts, Protocol):
    """The store, as it is at hand, and what other machines have put into it."""

    @property
    def shared(self) -> bool:
        """Whether other machines may know what this one does not."""

    async def bring(self, purpose: str, name: str, seconds: float) -> None:
        """Get a text from where all machines keep it, and keep it here for so long."""


class Forgetful:
    """No store: for sessions that are only thought of."""

    shared = False

    def put(self, purpose: str, name: str, text: str, seconds: float) -> None:
        """Forget it."""

    def text(self, _purpose: str, _name: str) -> str | None:
        """Nothing is known."""
        return None

    async def bring(self, purpose: str, name: str, seconds: float) -> None:
        """There is nobody else."""


class Greylisted:
    """The lookup, with what it reads."""

    __slots__ = ("_good", "_shelf", "lookup", "memory")

    def __init__(self, memory: GreylistMemory, shelf: Shelf, good: Good) -> None:
        self.memory = memory
        self._shelf = shelf
        self._good = good
        self.lookup: Lookup[Greylist] = Lookup(GREYLIST, self.find)

    async def find(self, inquiry: Inquiry) -> Fact[Greylist]:
        """Learn the fact. Unknown "no_client": a balancer did not say who it is."""
        sender, recipient = inquiry.sender, inquiry.recipient
        if sender is None or recipient is None:
            return Unknown("no_recipient")
        spf, name = await inquiry.fact(SPF), await inquiry.fact(REVERSE_NAME)
        by_spf = spf.value if isinstance(spf, Known) else None
        by_name = name.value.confirmed if isinstance(name, Known) else ""
        key = sender_key(inquiry.client, by_spf, by_name, organisation)
        if not key:
            return Unknown("no_client")
        if self._good(inquiry.client, [by_spf.domain] if by_spf is not None and by_spf.result == "pass" else []):
            return Known(Greylist(key, None, GOOD_RECORD))
        attempt = attempt_name(key, sender, recipient)
        found = self.memory.recall(key, attempt, inquiry.now)
        if self._shelf.shared and not found.spared:
            if inquiry.quick:
                raise NotAtHand
            for entry in self.memory.entries(key, attempt):
                await self._shelf.bring(*entry)
            found = self.memory.recall(key, attempt, inquiry.now)
        return Known(found)
