"""What a source of recipients is. It says what it knows of an address, and never what is to be done about it."""

import math
from collections.abc import Collection, Mapping
from typing import Final, Protocol, TypeAlias

import trio

from smtproxy.lookups.recipients.entries import Entries
from smtproxy.lookups.recipients.spelling import Address
from smtproxy.policy.evidence import Fact
from smtproxy.policy.facts import RecipientEntry
from smtproxy.session.records import Event, Journal

Opinion: TypeAlias = Fact[RecipientEntry] | None
"""Known: the address exists, or does not. Unknown: the source should know and cannot say. None: it is no matter of
this source's."""


class Source(Protocol):
    """A source. Its domains are in the form of `domain_key`."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    @property
    def kind(self) -> str:
        """file, ldap, callout or learned."""

    @property
    def age(self) -> float | None:
        """Seconds since what it knows was whole and fresh; None: it asks for each address, or knows nothing."""

    def covers(self, domain: str) -> bool:
        """Whether it is to be asked about a domain."""

    def at_hand(self, address: Address) -> Opinion:
        """Say what is known without asking anybody. Raises NotAtHand: somebody has to be asked."""

    async def ask(self, address: Address) -> Opinion:
        """Say what is known. Ends by its own deadline, and raises nothing."""

    async def start(self) -> None:
        """Get ready for the first question, within bounds: the clients wait."""

    async def run(self) -> None:
        """Keep what is known fresh, for ever."""

    async def refresh(self) -> str:
        """Read anew what there is to be read, whatever its size; return what came of it, for people."""

    def forget(self, address: Address) -> bool:
        """Forget what was remembered of one address; tell whether there was something."""

    def about(self) -> Mapping[str, object]:
        """Return what there is to say of the source itself: entries, age, trouble."""


def covers(domains: Collection[str], domain: str) -> bool:
    """Whether a source that was given these domains is to be asked about one; none: about all of ours."""
    return not domains or domain in domains


def record_loaded(journal: Journal, source: Source, entries: Entries) -> None:
    """Say in the log that a source has these entries now."""
    journal.record(
        Event.RECIPIENTS_LOADED,
        {
            "source": source.name,
            "kind": source.kind,
            "entries": len(entries),
            "skipped": entries.skipped,
            "examples": entries.examples,
            "age": source.age,
        },
    )


def record_failed(journal: Journal, source: Source, entries: Entries | None, reason: str) -> None:
    """Say in the log why a source could not be read; the entries are those that it goes on with."""
    journal.record(
        Event.RECIPIENTS_FAILED,
        {
            "source": source.name,
            "kind": source.kind,
            "reason": reason,
            "entries": None if entries is None else len(entries),
            "age": source.age,
        },
    )


QUIET: Final = 60.0
"""Seconds between two lines about the same complaint."""


class Complaints:
    """What is wrong with a source besides that it cannot be read: said in the log, and then not again for a while."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._reasons: dict[str, str] = {}
        self._said: dict[str, float] = {}

    def say(self, source: Source, entries: Entries | None, what: str, reason: str) -> None:
        """Note what is wrong with some part of its work; empty: nothing is."""
        if not reason:
            self._reasons.pop(what, None)
            return
        self._reasons[what] = reason
        now = trio.current_time()
        if now - self._said.get(what, -math.inf) >= QUIET:
            self._said[what] = now
            record_failed(self._journal, source, entries, reason)

    def all(self) -> list[str]:
        """Return what is wrong."""
        return list(self._reasons.values())
