"""Recipients of a directory: all are read, again and again; whom the copy lacks is asked for before it is missing.

Between two readings Active Directory is asked for what has changed. While the directory is down the last good copy goes
on, over a restart, too, if there is a directory for state. A copy that has become too old still knows who exists; whom
it lacks may have come since, so then it cannot say (451). Or nothing is read (`read = "asked"`), and each address is
asked for. Neither may let a dictionary attack become load on the domain controllers: see `questions`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from smtproxy.lookups.recipients import safe_copy
from smtproxy.lookups.recipients.acceptance import Acceptance, AcceptanceSettings
from smtproxy.lookups.recipients.directory import Directory
from smtproxy.lookups.recipients.entries import MISSING, Entries, RefusedError, SourceError, find
from smtproxy.lookups.recipients.exchange import entries_of
from smtproxy.lookups.recipients.following import Following, LostError
from smtproxy.lookups.recipients.questions import TOO_MANY, Questions, QuestionSettings
from smtproxy.lookups.recipients.source import Complaints, Opinion, covers, record_failed, record_loaded
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.network.inquiry import NotAtHand
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import RecipientEntry
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
    reads: bool = True
    """Whether all of it is read; else each address is asked for."""
    asks: bool = False
    """Whether an address that the copy lacks is asked for."""
    changes: float = 0.0
    """Seconds between two looks for changes; 0: none."""
    questions: QuestionSettings = field(default_factory=QuestionSettings)
    accepted_domains: bool = False
    """Whether only authoritative domains have missing addresses."""
    accepted_copy: Path | None = None
    ours: frozenset[str] | None = None
    """Domains of the listeners; None: any."""


class LdapSource:
    """Recipients of a directory."""

    kind = "ldap"

    def __init__(
        self,
        settings: LdapSettings,
        spelling: Spelling,
        journal: Journal,
        clock: Callable[[], float],
        directory: Directory,
    ) -> None:
        """`clock` tells seconds since 1970."""
        self._settings = settings
        self._spelling = spelling
        self._journal = journal
        self._clock = clock
        self._directory = directory
        self._questions = Questions(settings.questions, spelling, directory.find)
        self._asks = settings.asks or not settings.reads
        accepted = AcceptanceSettings(settings.name, settings.ours, self.covers, settings.accepted_copy)
        self._acceptance = (
            Acceptance(accepted, journal, directory.accepted_domains) if settings.accepted_domains else None
        )
        self._reading = trio.Lock()
        self._entries: Entries | None = None
        self._following = Following(directory.changes, spelling)
        self._read_at = 0.0
        self._trouble = ""
        self._refused = False
        self._complaints = Complaints(journal)
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
        """Look it up in the copy, and in what was answered. Raises NotAtHand: the directory has to be asked."""
        copied = self._copied(address)
        if isinstance(copied, Known) and copied.value.exists:
            return copied
        acceptance = self._acceptance
        needless = self._settings.reads and acceptance is not None and acceptance.refuses(address.domain) is False
        if needless or not self._asks:
            return self._within(address, copied)
        answer = self._questions.remembered(address)
        if answer is not None:
            return self._within(address, answer)
        trouble = self._directory.trouble() or (TOO_MANY if self._questions.full() else "")
        if not trouble:
            raise NotAtHand
        return self._unasked(address, copied, trouble)

    async def ask(self, address: Address) -> Opinion:
        """Ask the directory for it, unless it is at hand."""
        try:
            return self.at_hand(address)
        except NotAtHand:
            answer = await self._questions.ask(address)
        if isinstance(answer, Unknown):
            return self._unasked(address, self._copied(address), answer.reason)
        self._complaints.say(self, self._entries, "questions", "")
        return self._within(address, answer)

    def _copied(self, address: Address) -> Fact[RecipientEntry]:
        entries, age = self._entries, self.age
        if entries is None or age is None:
            return Unknown(self._trouble or "not read yet")
        entry = find(entries.by_address, self._spelling, address)
        if entry is None and age > self._settings.max_age:
            return Unknown("not in a copy that is too old")
        return Known(entry or MISSING)

    def _unasked(self, address: Address, copied: Fact[RecipientEntry], trouble: str) -> Opinion:
        """Say what is known of an address that cannot be asked for: a "yes" of before, or what the copy says."""
        self._complaints.say(self, self._entries, "questions", f"addresses cannot be asked for: {trouble}")
        before = self._questions.outlived(address)
        if before is not None:
            return before
        return self._within(address, copied if self._settings.reads else Unknown(trouble))

    def _within(self, address: Address, opinion: Fact[RecipientEntry]) -> Opinion:
        """Say of somebody who was not found no more than the domain allows."""
        if self._acceptance is None or (isinstance(opinion, Known) and opinion.value.exists):
            return opinion
        refuses = self._acceptance.refuses(address.domain)
        if refuses is None:
            return Unknown(self._acceptance.trouble)
        return opinion if refuses else None

    async def start(self) -> None:
        """Take the copy that was kept; without one read the directory."""
        if self._acceptance is not None:
            await self._acceptance.start()
        path = self._settings.copy if self._settings.reads else None
        kept = None if path is None else await trio.to_thread.run_sync(safe_copy.read, path, abandon_on_cancel=True)
        if kept is not None:
            self._entries, self._read_at = kept
            record_loaded(self._journal, self, kept[0])
        else:
            await self._read(force=True)

    async def run(self) -> None:
        """Read again and again, and look for changes in between."""
        try:
            await self._run()
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of the directory."""
        await self._directory.close()

    async def _run(self) -> None:
        fresh = self.age
        if fresh is None or fresh >= self._settings.refresh:
            await self._read(force=False)
        if self._acceptance is not None and self._acceptance.trouble:
            await self._read_domains()
        while True:
            pause = self._settings.refresh
            # A wrong password is not tried more often than a right one: the directory would lock the account.
            await self._follow(min(pause, _AGAIN) if self._trouble and not self._refused else pause)
            await self._read(force=False)
            await self._read_domains()

    async def refresh(self) -> str:
        """Read now, however much it has shrunk."""
        self._directory.wake()
        await self._read(force=True)
        await self._read_domains()
        if self._trouble or not self._settings.reads:
            return self._trouble or f"each address is asked for; {len(self._questions)} are remembered"
        return f"{0 if self._entries is None else len(self._entries)} addresses"

    def forget(self, address: Address) -> bool:
        """Forget what was answered about an address."""
        return self._questions.forget(address)

    def about(self) -> dict[str, object]:
        """Return number of addresses, age, and what is wrong."""
        acceptance = self._acceptance
        domains = None if acceptance is None else acceptance.domains
        return {
            "entries": None if self._entries is None else len(self._entries),
            "age": self.age,
            "asked": self._questions.asked or None,
            "accepted_domains": None if domains is None else len(domains),
            "trouble": "; ".join(filter(None, [self._trouble, *self._complaints.all()])),
        }

    # Reading

    async def _read(self, *, force: bool) -> None:
        async with self._reading:
            await (self._read_all(force=force) if self._settings.reads else self._look())

    async def _look(self) -> None:
        try:
            await self._directory.look()
        except SourceError as error:
            self._refused = isinstance(error, RefusedError)
            self._fail(str(error))
            return
        if self._trouble:
            record_loaded(self._journal, self, Entries())
        self._trouble = ""

    async def _read_all(self, *, force: bool) -> None:
        moment = self._questions.now()
        try:
            reading = await self._directory.read()
        except SourceError as error:
            self._refused = isinstance(error, RefusedError)
            self._fail(str(error))
            return
        entries = await trio.to_thread.run_sync(entries_of, reading.items, self._spelling)
        if len(entries) < (1.0 if force else self._least()):
            hint = "" if self._entries is None else "; if that is right: smtproxy recipients refresh"
            self._fail(f"it has {len(entries)} addresses only{hint}")
            return
        if self._settings.changes:
            await self._following.begin(reading)
        self._read_at, news, self._trouble = self._clock(), bool(self._trouble), ""
        self._take(entries, moment, news=news)
        await self._keep(entries)

    def _least(self) -> float:
        """Return how many addresses there have to be: more may have been lost than can be right."""
        return 1.0 if self._entries is None else max(1.0, len(self._entries) * (1 - self._settings.shrink))

    def _take(self, entries: Entries, moment: float, *, news: bool) -> None:
        """Go on with these entries; what was answered before a moment is outdone by them."""
        before, self._entries = self._entries, entries
        self._questions.forget_before(moment)
        if news or before is None or before.by_address != entries.by_address:
            record_loaded(self._journal, self, entries)

    async def _keep(self, entries: Entries) -> None:
        path = self._settings.copy
        if path is None:
            return
        try:
            await trio.to_thread.run_sync(safe_copy.write, path, entries.by_address, self._read_at)
        except OSError as error:
            record_failed(self._journal, self, entries, f"the copy cannot be kept: {error.strerror}")

    async def _read_domains(self) -> None:
        acceptance = self._acceptance
        if acceptance is not None:
            await acceptance.refresh()
            self._complaints.say(self, self._entries, "domains", acceptance.trouble)

    # Changes

    async def _follow(self, pause: float) -> None:
        """Wait so long, and take in what changes; end sooner where everything has to be read."""
        end, step = trio.current_time() + pause, self._settings.changes
        while step and self._following.active and trio.current_time() + step < end:
            await trio.sleep(step)
            async with self._reading:
                if not await self._take_changes():
                    return
        await trio.sleep_until(end)

    async def _take_changes(self) -> bool:
        """Take in what has changed; tell whether the copy is whole by that."""
        moment = self._questions.now()
        try:
            entries = await self._following.entries()
        except LostError:
            return False
        except SourceError as error:  # the same server again, next time; or another one, by a reading
            self._complaints.say(self, self._entries, "changes", f"changes cannot be read: {error}")
            return True
        self._complaints.say(self, self._entries, "changes", "")
        if entries is not None and len(entries) < self._least():
            self._following.leave()
            return False
        if entries is not None:
            self._take(entries, moment, news=False)
        return True

    def _fail(self, reason: str) -> None:
        if reason != self._trouble:
            self._trouble = reason
            record_failed(self._journal, self, self._entries, reason)
        age, now = self.age, self._clock()
        if age is not None and age > self._settings.max_age and now - self._alarmed >= ALARM:
            self._alarmed = now
            self._journal.record(Event.RECIPIENTS_STALE, {"source": self.name, "age": age, "reason": reason})
