"""What one reading of a source gave: entries by address. Most entries say nothing but that they are there, and share
one object, so a hundred thousand addresses take some twenty megabytes and not a hundred.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.policy.facts import RecipientEntry

PRESENT = RecipientEntry(exists=True)
MISSING = RecipientEntry(exists=False)

SHOWN = 3
"""Lines that could not be read and are named; the others are counted."""


class SourceError(Exception):
    """A source could not be read. The text says why, for people; it holds no secret."""


class RefusedError(SourceError):
    """A server refused name or password: more attempts would lock the account."""


@dataclass(slots=True)
class Entries:
    """Addresses in the form of `Spelling`, each with what is known of it."""

    by_address: dict[str, RecipientEntry] = field(default_factory=dict)
    skipped: int = 0
    """Lines or values that are no address."""
    examples: list[str] = field(default_factory=list)
    """Where the first of them are."""

    def add(self, address: Address, entry: RecipientEntry = PRESENT) -> None:
        """Take an address in. One that is there twice keeps the stricter limits of both: the backend will, too."""
        key = str(address)
        before = self.by_address.get(key)
        if before is None or before is PRESENT or before == entry:
            self.by_address[key] = entry
        elif entry is not PRESENT:
            self.by_address[key] = _stricter(before, entry)

    def skip(self, where: str) -> None:
        """Note that something was no address."""
        self.skipped += 1
        if len(self.examples) < SHOWN:
            self.examples.append(where)

    def __len__(self) -> int:
        return len(self.by_address)


def _stricter(one: RecipientEntry, other: RecipientEntry) -> RecipientEntry:
    limits = [limit for limit in (one.size_limit, other.size_limit) if limit is not None]
    return RecipientEntry(
        exists=True,
        requires_authentication=one.requires_authentication or other.requires_authentication,
        over_quota=one.over_quota or other.over_quota,
        size_limit=min(limits, default=None),
        allowed_senders=one.allowed_senders or other.allowed_senders,
        denied_senders=(*one.denied_senders, *other.denied_senders),
        policy=one.policy or other.policy,
    )


def find(entries: Mapping[str, RecipientEntry], spelling: Spelling, address: Address) -> RecipientEntry | None:
    """Return the entry of an address, or of the one without its tag; None: there is none."""
    for form in spelling.forms(address):
        entry = entries.get(str(form))
        if entry is not None:
            return entry
    return None
