"""A file of recipients, read at the start and whenever it has changed.

Whoever writes it is a script of the administrator's, and scripts write in place, die in the middle, or export an empty
list because the directory did not answer. So a new version counts only if it is whole: it was not touched for a second
and not while it was read, its last line has an end, it holds an address, and it has not shrunk beyond a bound. Else
the old one stays, and the log says why. `recipients refresh`, a reload and a restart take a file that has shrunk.

It is looked at in a thread that is given up when nobody waits for it any more: a file system that hangs (NFS) must stop
neither the start nor the sessions. One thread for each source, so however long it hangs it takes no other one.
"""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

import trio

from smtproxy.lookups.recipients.entries import MISSING, Entries, SourceError, find
from smtproxy.lookups.recipients.formats import LARGEST_FILE, read
from smtproxy.lookups.recipients.source import Opinion, covers, record_failed, record_loaded
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.policy.evidence import Known, Unknown
from smtproxy.session.records import Journal

INTERVAL = 1.0
"""Seconds between two looks at a file; and for how long it must be untouched."""

T = TypeVar("T")
_Version: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class FileSettings:
    """The settings of one."""

    name: str
    path: Path
    domains: frozenset[str] = frozenset()
    shrink: float = 0.5
    """The part of its addresses that a file may lose at once."""


class FileSource:
    """Recipients of a file."""

    kind = "file"

    def __init__(
        self, settings: FileSettings, spelling: Spelling, journal: Journal, clock: Callable[[], float]
    ) -> None:
        """`clock` tells seconds since 1970."""
        self._settings = settings
        self._spelling = spelling
        self._journal = journal
        self._clock = clock
        self._entries: Entries | None = None
        self._written = 0.0
        """When the version that is used was written."""
        self._seen: _Version | None = None
        """The version that was read or refused last."""
        self._changing: _Version | None = None
        self._trouble = ""
        self._thread = trio.CapacityLimiter(1)

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        return self._settings.name

    def covers(self, domain: str) -> bool:
        """Whether it is to be asked about a domain."""
        return covers(self._settings.domains, domain)

    def at_hand(self, address: Address) -> Opinion:
        """Look it up."""
        entries = self._entries
        if entries is None:
            return Unknown(self._trouble or "not read yet")
        return Known(find(entries.by_address, self._spelling, address) or MISSING)

    async def ask(self, address: Address) -> Opinion:
        """Everything is at hand."""
        return self.at_hand(address)

    async def start(self) -> None:
        """Read it for the first time."""
        await self._read(force=True)

    async def run(self) -> None:
        """Look once a second whether it has changed."""
        while True:
            await trio.sleep(INTERVAL)
            await self.look()

    async def look(self) -> None:
        """Read it if it has changed, and is not changing any more."""
        try:
            version = await self._in_thread(partial(_version, self._settings.path))
        except OSError as error:
            self._seen = self._changing = None
            self._fail(os.strerror(error.errno or 0))
            return
        if version == self._seen:
            return
        if version != self._changing:
            self._changing = version
            return
        await self._read(force=False)

    async def refresh(self) -> str:
        """Read it now, however much it has shrunk."""
        await self._read(force=True)
        entries = self._entries
        return self._trouble or f"{0 if entries is None else len(entries)} addresses"

    def forget(self, _address: Address) -> bool:
        """A file forgets nothing: it is edited."""
        return False

    def about(self) -> Mapping[str, object]:
        """Return path, number of addresses, age, and what is wrong with the file now."""
        return {
            "path": str(self._settings.path),
            "entries": None if self._entries is None else len(self._entries),
            "age": self.age,
            "trouble": self._trouble,
        }

    @property
    def age(self) -> float | None:
        """Seconds since the version that is used was written."""
        return None if self._entries is None else max(0.0, round(self._clock() - self._written, 3))

    async def _read(self, *, force: bool) -> None:
        try:
            version, entries = await self._in_thread(partial(load, self._settings.path, self._spelling))
        except SourceError as error:
            self._seen = self._changing
            self._fail(str(error))
            return
        if version is None:
            return  # Somebody writes to it: the next look knows more.
        self._seen, before = version, self._entries
        least = 0.0 if before is None or force else len(before) * (1 - self._settings.shrink)
        if len(entries) < least:
            self._fail(f"it has shrunk to {len(entries)} addresses; if that is right: smtproxy recipients refresh")
            return
        self._entries, self._written, self._trouble = entries, version[0] / 1e9, ""
        record_loaded(self._journal, self, entries)

    async def _in_thread(self, look: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(look, abandon_on_cancel=True, limiter=self._thread)

    def _fail(self, reason: str) -> None:
        """Keep the old version; say so once for each reason."""
        if reason == self._trouble:
            return
        self._trouble = reason
        record_failed(self._journal, self, self._entries, reason)


def load(path: Path, spelling: Spelling) -> tuple[_Version | None, Entries]:
    """Read a file as it is now; no version: it changed meanwhile. Raises SourceError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError("is no regular file")  # to open a pipe would wait for whoever writes to it
        with path.open("rb") as file:
            before = _version(path)
            octets = file.read(LARGEST_FILE + 1)
        after = _version(path)
    except OSError as error:
        raise SourceError(os.strerror(error.errno or 0)) from None
    if before != after:
        return None, Entries()
    if len(octets) > LARGEST_FILE:
        raise SourceError(f"is larger than {LARGEST_FILE} octets")
    return after, read(octets, spelling)


def _version(path: Path) -> _Version:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
