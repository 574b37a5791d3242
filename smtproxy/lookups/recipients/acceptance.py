"""The accepted domains of a directory, kept fresh: who may be called missing where, and how they differ from ours.

The last good answer goes on while the directory is down, and over a restart. It must never widen what is taken.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from smtproxy.lookups.recipients import safe_copy
from smtproxy.lookups.recipients.accepted_domains import AcceptedDomains, authoritative, differences
from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.session.records import Event, Journal


def keep(path: Path, domains: AcceptedDomains) -> None:
    """Keep a good answer over a restart. Raises OSError."""
    safe_copy.keep(path, {"version": 1, "domains": dict(domains)})


def kept(path: Path) -> AcceptedDomains | None:
    """Return the last good answer; None: there is none."""
    whole = safe_copy.kept(path)
    domains = whole.get("domains") if isinstance(whole, dict) and whole.get("version") == 1 else None
    if not isinstance(domains, dict) or not domains:
        return None
    return {name: kind is True for name, kind in domains.items()}


@dataclass(frozen=True, slots=True)
class AcceptanceSettings:
    """The settings."""

    name: str
    """Of the source."""
    ours: frozenset[str] | None
    """Domains of the listeners; None: any, and nothing is compared with them."""
    covered: Callable[[str], bool] = lambda _domain: True
    """Whether the source is to be asked about a domain."""
    copy: Path | None = None
    """Where the last good answer is kept over a restart; None: nowhere."""


class Acceptance:
    """What was read last; it counts until it is read again, however old: domains seldom change."""

    def __init__(
        self, settings: AcceptanceSettings, journal: Journal, read: Callable[[], Awaitable[AcceptedDomains]]
    ) -> None:
        """`read` reads the domains, or raises SourceError."""
        self._settings = settings
        self._journal = journal
        self._read = read
        self._said: tuple[list[str], list[str]] = ([], [])
        self.domains: AcceptedDomains | None = None
        """None: they were never read, and nobody can be called missing."""
        self.trouble = "accepted domains: not read yet"

    async def start(self) -> None:
        """Take those that were kept; without them read."""
        path = self._settings.copy
        if path is not None:
            self.domains = await trio.to_thread.run_sync(kept, path, abandon_on_cancel=True)
        if self.domains is None:
            await self.refresh()

    async def refresh(self) -> None:
        """Read them, and say once how they differ from ours."""
        before, path = self.domains, self._settings.copy
        try:
            self.domains = await self._read()
            self.trouble = ""
            if path is not None and self.domains != before:
                await trio.to_thread.run_sync(keep, path, self.domains)
        except SourceError as error:
            self.trouble = f"accepted domains: {error}"
        except OSError as error:
            self.trouble = f"accepted domains: they cannot be kept: {error.strerror}"
        if self.domains is not None:
            self._compare(self.domains)

    def refuses(self, domain: str) -> bool | None:
        """Whether whom the directory lacks in a domain is missing; None: nobody knows, as it could not be read."""
        return None if self.domains is None else authoritative(self.domains, domain) is True

    def _compare(self, domains: AcceptedDomains) -> None:
        ours = self._settings.ours
        if ours is None:
            return
        found = differences(domains, ours, {domain for domain in ours if self._settings.covered(domain)})
        if found != self._said:
            self._said = found
            if found != ([], []):
                fields = {"source": self._settings.name, "not_ours": found[0], "not_accepted": found[1]}
                self._journal.record(Event.RECIPIENTS_DOMAINS, fields)
