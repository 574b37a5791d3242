"""All sources of recipients together: the fact RECIPIENT.

The sources that cover a domain are asked in their order. The first that has the address decides, with what it knows of
it. An address is missing only if all of them lack it: one that cannot say makes the whole unknown, since a list of half
the mailboxes must never refuse the other half. So what was learned from replies can never overrule a file or a
directory. A domain that no source covers is nobody's business here, and whose recipients are ours is another check's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import trio

from smtproxy.lookups.recipients.entries import PRESENT
from smtproxy.lookups.recipients.ldap import LdapSource
from smtproxy.lookups.recipients.learned import LearnedSource
from smtproxy.lookups.recipients.source import Opinion, Source
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.network.inquiry import Inquiry, Lookup, NotAtHand
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import RECIPIENT, RecipientEntry

CATCH_ALL = "catch_all"
"""Named as the source where the setting decides."""
START_TIME = 5.0
"""Seconds that sources may take before clients are served; those that need longer cannot say until then."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which recipients are looked at at all."""

    domains: Collection[str] | None = None
    """Those of the listeners, in the form of `domain_key`; None: any."""
    catch_all: Collection[str] = ()
    """Of these, those in which every address exists."""


def _concerning(entry: RecipientEntry, sender: str) -> RecipientEntry:
    """Return an entry with nobody in its lists of senders but the one that asks, and who shows what a list is for.

    A fact stands in the log with each decision; lists for a company have thousands of names.
    """
    allowed = (sender,) if sender in entry.allowed_senders else entry.allowed_senders[:_SHOWN]
    return replace(entry, allowed_senders=allowed, denied_senders=(sender,) if sender in entry.denied_senders else ())


_SHOWN = 3


class Recipients:
    """The sources, in their order."""

    def __init__(self, sources: Sequence[Source], spelling: Spelling, scope: Scope) -> None:
        self.sources = tuple(sources)
        self._spelling = spelling
        self._scope = scope
        self.lookup: Lookup[RecipientEntry] = Lookup(RECIPIENT, self.find)

    async def find(self, inquiry: Inquiry) -> Fact[RecipientEntry]:
        """Learn the fact."""
        path = inquiry.recipient
        if path is None or not path.domain:
            return Known(PRESENT)  # <postmaster>: RFC 5321 4.5.1
        fact = await self.about(self._spelling.of(path), quick=inquiry.quick)
        sender = inquiry.sender
        if isinstance(fact, Unknown) or sender is None or not (fact.value.allowed_senders or fact.value.denied_senders):
            return fact
        return Known(_concerning(fact.value, f"{sender.mailbox_local.lower()}@{sender.domain_key}"))

    async def about(self, address: Address, *, quick: bool = False) -> Fact[RecipientEntry]:
        """Ask the sources about one address. Raises NotAtHand in the quick way."""
        if self._scope.domains is not None and address.domain not in self._scope.domains:
            return Known(PRESENT)
        missing: Known[RecipientEntry] | None = None
        unknown: Unknown | None = None
        for source in self.sources:
            if not source.covers(address.domain):
                continue
            opinion = await _opinion(source, address, quick=quick)
            if isinstance(opinion, Unknown):
                unknown = unknown or Unknown(f"{source.name}: {opinion.reason}")
            elif opinion is not None:
                named = Known(replace(opinion.value, source=source.name, age=source.age))
                if named.value.exists:
                    return named
                missing = missing or named
        if address.domain in self._scope.catch_all:
            return Known(RecipientEntry(exists=True, source=CATCH_ALL))
        return unknown or missing or Known(PRESENT)

    def heard(self, message: Mapping[str, object]) -> None:
        """Let those learn that do, from the fields of a `message` line."""
        for source in self.sources:
            if isinstance(source, LearnedSource):
                source.hear(message)

    async def start(self) -> None:
        """Let all sources get ready, at the same time."""
        with trio.move_on_after(START_TIME):
            async with trio.open_nursery() as nursery:
                for source in self.sources:
                    nursery.start_soon(source.start)

    async def run(self) -> None:
        """Keep all sources fresh, for ever."""
        async with trio.open_nursery() as nursery:
            for source in self.sources:
                nursery.start_soon(source.run)

    async def close(self) -> None:
        """Let go of what sources have open that were started and do not run."""
        for source in self.sources:
            if isinstance(source, LdapSource):
                await source.close()

    # What an administrator asks

    def read(self, text: str) -> Address | None:
        """Read an address; None: it is none."""
        return self._spelling.read(text)

    async def explain(self, address: Address) -> list[dict[str, object]]:
        """Say what each source says of an address, and then what follows of it all."""
        rows: list[dict[str, object]] = []
        for source in self.sources:
            row: dict[str, object] = {"source": source.name, "kind": source.kind}
            if source.covers(address.domain):
                row |= said(await _opinion(source, address, quick=False))
            else:
                row["says"] = "not asked: it does not cover this domain"
            rows.append(row | {key: value for key, value in source.about().items() if value not in (None, "")})
        return [*rows, {"source": "all together", **said(await self.about(address))}]

    async def refresh(self) -> list[dict[str, object]]:
        """Let all sources read anew."""
        return [{"source": one.name, "kind": one.kind, "says": await one.refresh()} for one in self.sources]

    def forget(self, address: Address) -> list[dict[str, object]]:
        """Let all sources forget what they remember of an address."""
        return [
            {"source": one.name, "kind": one.kind, "says": "forgotten" if one.forget(address) else "knew nothing"}
            for one in self.sources
        ]


async def _opinion(source: Source, address: Address, *, quick: bool) -> Opinion:
    try:
        return source.at_hand(address)
    except NotAtHand:
        if quick:
            raise
        return await source.ask(address)


def said(opinion: Opinion) -> Mapping[str, object]:
    """Return an opinion in words and plain values, without what is as usual."""
    if opinion is None:
        return {"says": "no opinion"}
    if isinstance(opinion, Unknown):
        return {"says": "cannot tell", "why": opinion.reason}
    entry = opinion.value
    more = {
        field.name: getattr(entry, field.name)
        for field in fields(entry)
        if field.name != "exists" and getattr(entry, field.name) != field.default
    }
    by = more.pop("source", "")
    return {"says": "exists" if entry.exists else "does not exist"} | ({"by": by} if by else {}) | more
