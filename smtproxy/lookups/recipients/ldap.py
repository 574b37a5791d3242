"""Recipients of a directory: all of them are read, and read again and again; a client's RCPT never waits for LDAP.

While the directory is down the last good copy goes on, over a restart, too, if there is a directory for state. A copy
that has become too old still knows who exists; whom it lacks may have come since, so then it cannot say (451). Tried
on paper and left: a look-up for each address, which turns a dictionary attack into load on the domain controllers.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from smtproxy.lookups.recipients import safe_copy
from smtproxy.lookups.recipients.entries import MISSING, Entries, SourceError, find
from smtproxy.lookups.recipients.exchange import Item, entries_of
from smtproxy.lookups.recipients.source import Opinion, covers, record_failed, record_loaded
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.policy.evidence import Known, Unknown
from smtproxy.session.records import Event, Journal

ALARM = 3600.0
"""Seconds between two alarms about a copy that is too old."""
_AGAIN = 10.0
"""Seconds until a directory that could not be read is asked again, unless `refresh` is less."""


@dataclass(frozen=True, slots=True)
class LdapSettings:
    """The settings of one."""

    name: str
    domains: frozenset[str] = frozenset()
    refresh: float = 300.0
    """Seconds between two readings."""
    max_age: float = 86400.0
    """Seconds from which on a copy is too old."""
    shrink: float = 0.5
    """The part of its addresses that it may lose at once."""
    copy: Path | None = None
    """Where the copy is kept; None: in memory only."""


class LdapSource:
    """Recipients of a directory."""

    kind = "ldap"

    def __init__(
        self,
        settings: LdapSettings,
        spelling: Spelling,
        journal: Journal,
        clock: Callable[[], float],
        read: Callable[[], Awaitable[list[Item]]],
    ) -> None:
        """`read` reads the directory, or raises SourceError; `clock` tells seconds since 1970."""
        self._settings = settings
        self._spelling = spelling
        self._journal = journal
        self._clock = clock
        self._read_directory = read
        self._entries: Entries | None = None
        self._read_at = 0.0
        self._trouble = ""
        self._alarmed = -ALARM

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        return self._settings.name

    @property
    def age(self) -> float | None:
        """Seconds since the directory was read."""
        return None if self._entries is None else max(0.0, round(self._clock() - self._read_at, 3))

    def covers(self, domain: str) -> bool:
        """Whether it is to be asked about a domain."""
        return covers(self._settings.domains, domain)

    def at_hand(self, address: Address) -> Opinion:
        """Look it up in the copy."""
        entries, age = self._entries, self.age
        if entries is None or age is None:
            return Unknown(self._trouble or "not read yet")
        entry = find(entries.by_address, self._spelling, address)
        if entry is None and age > self._settings.max_age:
            return Unknown("not in a copy that is too old")
        return Known(entry or MISSING)

    async def ask(self, address: Address) -> Opinion:
        """Everything is at hand."""
        return self.at_hand(address)

    async def start(self) -> None:
        """Take the copy that was kept; without one read the directory."""
        path = self._settings.copy
        kept = None if path is None else await trio.to_thread.run_sync(safe_copy.read, path, abandon_on_cancel=True)
        if kept is not None:
            self._entries, self._read_at = kept
            record_loaded(self._journal, self, kept[0])
        else:
            await self._read(force=True)

    async def run(self) -> None:
        """Read again and again."""
        fresh = self.age
        if fresh is None or fresh >= self._settings.refresh:
            await self._read(force=False)
        while True:
            pause = self._settings.refresh
            await trio.sleep(min(pause, _AGAIN) if self._trouble else pause)
            await self._read(force=False)

    async def refresh(self) -> str:
        """Read now, however much it has shrunk."""
        await self._read(force=True)
        return self._trouble or f"{0 if self._entries is None else len(self._entries)} addresses"

    def forget(self, _address: Address) -> bool:
        """It remembers nothing of its own."""
        return False

    def about(self) -> Mapping[str, object]:
        """Return number of addresses, age, and what is wrong."""
        return {
            "entries": None if self._entries is None else len(self._entries),
            "age": self.age,
            "trouble": self._trouble,
        }

    async def _read(self, *, force: bool) -> None:
        try:
            items = await self._read_directory()
        except SourceError as error:
            self._fail(str(error))
            return
        entries = await trio.to_thread.run_sync(entries_of, items, self._spelling)
        before = self._entries
        least = 1.0 if before is None or force else max(1.0, len(before) * (1 - self._settings.shrink))
        if len(entries) < least:
            hint = "" if before is None else "; if that is right: smtproxy recipients refresh"
            self._fail(f"it has {len(entries)} addresses only{hint}")
            return
        news = before is None or before.by_address != entries.by_address or bool(self._trouble)
        self._entries, self._read_at, self._trouble = entries, self._clock(), ""
        if news:
            record_loaded(self._journal, self, entries)
        await self._keep(entries)

    async def _keep(self, entries: Entries) -> None:
        path = self._settings.copy
        if path is None:
            return
        try:
            await trio.to_thread.run_sync(safe_copy.write, path, entries.by_address, self._read_at)
        except OSError as error:
            record_failed(self._journal, self, entries, f"the copy cannot be kept: {error.strerror}")

    def _fail(self, reason: str) -> None:
        if reason != self._trouble:
            self._trouble = reason
            record_failed(self._journal, self, self._entries, reason)
        age, now = self.age, self._clock()
        if age is not None and age > self._settings.max_age and now - self._alarmed >= ALARM:
            self._alarmed = now
            self._journal.record(Event.RECIPIENTS_STALE, {"source": self.name, "age": age, "reason": reason})
