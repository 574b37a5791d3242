"""Recipients that the backend itself has refused: whom it does not know it is not asked for again, for an hour at most.

Learned is from "no such user" alone (5.1.1, and 5.1.10 of Exchange Online and Edge), at RCPT, or at the end of data of
a message with one recipient, where it can mean nobody else. A 550 without an enhanced code may as well be about the
sender, so it counts only when two senders from two networks heard it at RCPT. Any acceptance withdraws it all. It has
no opinion on anybody else, so it never overrules a file or a directory. Each worker learns for itself.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smtproxy.lookups.recipients.entries import MISSING
from smtproxy.lookups.recipients.source import Opinion, covers
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.policy.acquaintances import NETWORK
from smtproxy.policy.evidence import Known
from smtproxy.session.networks import address_of
from smtproxy.wire.replies import NO_SUCH_USER

LONGEST = 3600.0
"""Seconds that a refusal may count: a mailbox that was made meanwhile misses no more mail than that."""
MOST = 50_000
"""Addresses that are remembered, some 15 MB: those of a dictionary attack push each other out."""
_WITNESSES = 2
"""Senders, and networks of clients, that must have heard a 550 without enhanced code."""
_MOST_WITNESSES = 8
"""That are remembered of one address."""


@dataclass(frozen=True, slots=True)
class LearnedSettings:
    """The settings of one."""

    name: str
    domains: frozenset[str] = frozenset()
    lives: float = LONGEST
    """Seconds that a refusal counts."""


@dataclass(slots=True)
class _Refusal:
    since: float
    certain: bool = False
    senders: set[str] = field(default_factory=set)
    networks: set[int] = field(default_factory=set)

    @property
    def counts(self) -> bool:
        return self.certain or min(len(self.senders), len(self.networks)) >= _WITNESSES


class LearnedSource:
    """What the backend's replies say of recipients."""

    kind = "learned"
    age = None

    def __init__(self, settings: LearnedSettings, spelling: Spelling, clock: Callable[[], float]) -> None:
        """Know nothing yet; `clock` tells seconds since 1970."""
        self._settings = settings
        self._spelling = spelling
        self._clock = clock
        self._refusals: OrderedDict[Address, _Refusal] = OrderedDict()

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        return self._settings.name

    def covers(self, domain: str) -> bool:
        """Whether it is to be asked about a domain."""
        return covers(self._settings.domains, domain)

    def at_hand(self, address: Address) -> Opinion:
        """Say that the backend refused an address; of all others nothing."""
        refusal = self._fresh(address)
        return Known(MISSING) if refusal is not None and refusal.counts else None

    async def ask(self, address: Address) -> Opinion:
        """Everything is at hand."""
        return self.at_hand(address)

    async def start(self) -> None:
        """Nothing is to be done."""

    async def run(self) -> None:
        """Nothing is to be kept fresh: it hears of every message."""

    async def refresh(self) -> str:
        """Forget everything: that is as fresh as it can be."""
        number = len(self._refusals)
        self._refusals.clear()
        return f"forgot {number} addresses"

    def forget(self, address: Address) -> bool:
        """Forget what was learned of one address; tell whether there was something."""
        return self._refusals.pop(address, None) is not None

    def about(self) -> Mapping[str, object]:
        """Return the number of addresses."""
        return {"entries": len(self._refusals)}

    def hear(self, message: Mapping[str, Any]) -> None:
        """Learn from the fields of a `message` line."""
        recipients: Sequence[Mapping[str, str | None]] = message["recipients"]
        at_the_end = _refused_at_the_end(message, len(recipients))
        for one in recipients:
            address = self._spelling.read(one["to"] or "")
            if address is None or one["by"] != "backend" or not self.covers(address.domain):
                continue
            code, enhanced = _codes(one["reply"])
            if at_the_end or (code.startswith("5") and enhanced in NO_SUCH_USER):
                self._note(address).certain = True
            elif code.startswith("2"):
                self.forget(address)
            elif code == "550" and not enhanced:
                self._witness(self._note(address), message)

    def _fresh(self, address: Address) -> _Refusal | None:
        """Return what is remembered of an address, and forget it when its time is over, or the clock was set back."""
        refusal = self._refusals.get(address)
        if refusal is not None and not 0 <= self._clock() - refusal.since < self._settings.lives:
            del self._refusals[address]
            return None
        return refusal

    def _note(self, address: Address) -> _Refusal:
        """Return the refusal of an address; one that is known does not live longer by being heard again."""
        refusal = self._fresh(address)
        if refusal is None:
            refusal = self._refusals[address] = _Refusal(self._clock())
            if len(self._refusals) > MOST:
                self._refusals.popitem(last=False)
        return refusal

    @staticmethod
    def _witness(refusal: _Refusal, message: Mapping[str, Any]) -> None:
        try:
            network = NETWORK.of(address_of(message["client"]))
        except ValueError:
            return
        if len(refusal.networks) < _MOST_WITNESSES and len(refusal.senders) < _MOST_WITNESSES:
            refusal.networks.add(network)
            refusal.senders.add(message["sender"].lower())


def _refused_at_the_end(message: Mapping[str, Any], shown: int) -> bool:
    """Whether the backend said behind the final dot that the only recipient does not exist."""
    if not (message["by"] == "backend" and "answer_time" in message and shown == message["recipients_total"] == 1):
        return False
    code, enhanced = _codes(message["reply"])
    accepted: bool = message["recipients_accepted"] == 1
    return accepted and code.startswith("5") and enhanced in NO_SUCH_USER


def _codes(reply: str | None) -> tuple[str, str]:
    """Return code and enhanced status code of a reply as the log shows it; empty: there is none."""
    code, _, text = (reply or "").partition(" ")
    first = text.partition(" ")[0]
    parts = first.split(".")
    enhanced = len(parts) == 3 and all(part.isascii() and part.isdigit() for part in parts)
    return code, first if enhanced else ""
