"""A directory that comes and goes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trio.testing

from smtproxy.lookups.recipients import safe_copy
from smtproxy.lookups.recipients.accepted_domains import AcceptedDomains
from smtproxy.lookups.recipients.changes import Changes, Mark
from smtproxy.lookups.recipients.combined import Recipients, Scope
from smtproxy.lookups.recipients.directory import Reading
from smtproxy.lookups.recipients.entries import PRESENT, RefusedError, SourceError
from smtproxy.lookups.recipients.exchange import Item
from smtproxy.lookups.recipients.ldap import ALARM, LdapSettings, LdapSource
from smtproxy.lookups.recipients.questions import QuestionSettings
from smtproxy.lookups.recipients.source import Opinion
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.network.inquiry import NotAtHand
from smtproxy.policy.evidence import Unknown
from smtproxy.session.records import Event
from tests.fakes.journal import FakeJournal

MARK = Mark("ldap://dc1", "dsa", 7)
PLAIN = LdapSettings("ad", refresh=60, max_age=600)
ASKS = replace(PLAIN, asks=True)
ASKED = replace(PLAIN, reads=False)
FOLLOWS = replace(PLAIN, changes=15)


class Stage:
    """A source, its directory as a list of names, and a clock."""

    def __init__(self, copy: Path | None = None, settings: LdapSettings = PLAIN) -> None:
        self.names: list[str] | None = ["anna", "bert", "carl", "dora"]
        self.readings = self.looks = self.closed = 0
        self.asked: list[str] = []
        self.resting = ""
        self.refused = False
        self.mark: Mark | None = None
        self.changed: list[Changes | SourceError | None] = []
        self.domains: AcceptedDomains | None = {"example.org": True, "relay.example": False}
        self.now = 1000.0
        self.journal = FakeJournal()
        self.source = LdapSource(replace(settings, copy=copy), Spelling(), self.journal, lambda: self.now, self)

    def up(self) -> list[str]:
        if self.names is None:
            raise SourceError("dc1: down")
        return self.names

    async def read(self) -> Reading:
        self.readings += 1
        if self.refused:
            raise RefusedError("dc1: Invalid credentials")
        return Reading([person(name) for name in self.up()], self.mark)

    async def changes(self, mark: Mark) -> Changes | None:
        assert mark == self.mark
        found = self.changed.pop(0) if self.changed else Changes([], [], mark)
        if isinstance(found, SourceError):
            raise found
        self.mark = None if found is None else found.mark
        return found

    async def find(self, addresses: Sequence[Address]) -> list[Item]:
        self.asked.append(str(addresses[0]))
        return [person(one.local) for one in addresses if one.local in self.up()]

    async def look(self) -> None:
        self.looks += 1
        self.up()

    def trouble(self) -> str:
        return self.resting

    def wake(self) -> None:
        self.resting = ""

    async def accepted_domains(self) -> AcceptedDomains:
        self.up()
        assert self.domains is not None
        return self.domains

    async def close(self) -> None:
        self.closed += 1

    def says(self, name: str, domain: str = "example.org") -> bool | str | None:
        return words(self.source.at_hand(Address(name, domain)))

    async def asks(self, name: str, domain: str = "example.org") -> bool | str | None:
        return words(await self.source.ask(Address(name, domain)))


def person(name: str) -> Item:
    return Item(f"cn={name}", {"mail": [f"{name}@example.org"]})


def words(opinion: Opinion) -> bool | str | None:
    if isinstance(opinion, Unknown):
        return opinion.reason
    return None if opinion is None else opinion.value.exists


async def test_an_outage_changes_nothing_until_the_copy_is_too_old() -> None:
    stage = Stage()
    await stage.source.start()
    assert (stage.says("anna"), stage.says("xaver")) == (True, False)
    stage.names = None
    for stage.now in (1100, 1500):
        assert await stage.source.refresh() == "dc1: down"
        assert (stage.says("anna"), stage.says("xaver")) == (True, False)
    failed = stage.journal.one(Event.RECIPIENTS_FAILED)  # said once
    assert (failed["entries"], failed["age"]) == (4, 100.0)
    stage.now = 1601.0
    await stage.source.refresh()
    await stage.source.refresh()
    assert (stage.says("anna"), stage.says("xaver")) == (True, "not in a copy that is too old")
    assert stage.journal.one(Event.RECIPIENTS_STALE)["age"] == 601.0
    stage.now += ALARM
    await stage.source.refresh()
    assert len(stage.journal.of(Event.RECIPIENTS_STALE)) == 2
    stage.names = ["anna", "xaver"]
    await stage.source.refresh()
    assert (stage.says("xaver"), stage.says("bert")) == (True, False)


async def test_a_directory_that_is_down_from_the_start() -> None:
    stage = Stage()
    stage.names = None
    assert stage.says("anna") == "not read yet"
    await stage.source.start()
    assert stage.says("anna") == "dc1: down"
    assert stage.source.age is None


async def test_one_that_answers_with_little_or_nothing_is_not_believed() -> None:
    """A user without rights reads an empty directory, without any error."""
    stage = Stage()
    stage.names = []
    await stage.source.start()
    assert stage.says("anna") == "it has 0 addresses only"
    stage.names = ["anna", "bert", "carl", "dora"]
    await stage.source.refresh()
    stage.names = ["anna"]
    await stage.source._read(force=False)
    assert stage.says("bert") is True
    assert "smtproxy recipients refresh" in str(stage.source.about()["trouble"])
    assert await stage.source.refresh() == "1 addresses"
    assert stage.says("bert") is False


async def test_the_copy_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "ad.recipients"
    before = Stage(path)
    await before.source.start()
    after = Stage(path)
    after.names, after.now = None, 1300.0
    await after.source.start()
    assert after.readings == 0
    assert (after.says("anna"), after.says("xaver"), after.source.age) == (True, False, 300.0)


async def test_a_copy_that_cannot_be_kept_is_no_reason_to_know_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "none" / "a")
    await stage.source.start()
    assert stage.says("anna") is True
    assert "copy cannot be kept" in str(stage.journal.one(Event.RECIPIENTS_FAILED)["reason"])


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """One that jumps only if nothing happens for a while: it does not see threads at work."""
    return trio.testing.MockClock(autojump_threshold=0.1)


async def test_it_reads_again_and_again(clock: trio.testing.MockClock) -> None:
    stage = Stage()
    await stage.source.start()
    with trio.move_on_after(150):
        await stage.source.run()
    assert stage.readings == 3
    stage.names = None
    with trio.move_on_after(95):
        await stage.source.run()
    assert stage.readings == 3 + 1 + 3  # after 60 seconds, and then every ten
    assert stage.source.covers("example.org")
    assert not stage.source.forget(Address("a", "b"))


def test_what_is_no_copy(tmp_path: Path) -> None:
    assert safe_copy.read(tmp_path / "none") is None


@pytest.mark.parametrize("name", ["anna", "xaver"])
async def test_asking_is_looking(name: str) -> None:
    stage = Stage()
    await stage.source.start()
    address = Address(name, "example.org")
    assert await stage.source.ask(address) == stage.source.at_hand(address)
    assert PRESENT.exists


async def test_one_that_was_started_and_does_not_run_is_closed() -> None:
    stage = Stage()
    recipients = Recipients([stage.source], Spelling(), Scope())
    await recipients.start()
    await recipients.close()
    assert stage.closed == 1


async def test_a_wrong_password_is_not_tried_again_and_again(clock: trio.testing.MockClock) -> None:
    stage = Stage()
    stage.refused = True
    await stage.source.start()
    with trio.move_on_after(130):
        await stage.source.run()
    assert stage.readings == 1 + 1 + 2  # at the start, and then once a minute


class TestAsking:
    """For whom the copy lacks."""

    async def test_a_new_mailbox_is_there_at_once(self) -> None:
        stage = Stage(settings=ASKS)
        await stage.source.start()
        assert stage.says("anna") is True  # nobody has to be asked
        assert stage.names is not None
        stage.names.append("emil")
        with pytest.raises(NotAtHand):
            stage.says("emil")
        assert await stage.asks("emil") is True
        assert stage.says("emil") is True
        assert await stage.asks("xaver") is False
        assert stage.says("xaver") is False
        assert stage.asked == ["emil@example.org", "xaver@example.org"]
        assert stage.source.about()["asked"] == 2

    async def test_one_that_is_gone_is_gone_with_the_next_reading(self) -> None:
        stage = Stage(settings=ASKS)
        await stage.source.start()
        assert stage.names is not None
        stage.names.append("emil")
        assert await stage.asks("emil") is True
        stage.names.remove("emil")
        await trio.lowlevel.checkpoint()
        await stage.source.refresh()
        assert await stage.asks("emil") is False

    async def test_while_it_is_down_the_copy_decides(self) -> None:
        stage = Stage(settings=ASKS)
        await stage.source.start()
        assert stage.names is not None
        stage.names.append("emil")
        assert await stage.asks("emil") is True
        stage.names = None
        assert [await stage.asks(name) for name in ("anna", "emil", "xaver")] == [True, True, False]
        stage.resting = "dc1: resting"
        assert [stage.says(name) for name in ("anna", "emil", "xaver")] == [True, True, False]
        failed = stage.journal.one(Event.RECIPIENTS_FAILED)  # once
        assert failed["reason"] == "addresses cannot be asked for: dc1: down"
        stage.now += 601
        assert stage.says("xaver") == "not in a copy that is too old"

    async def test_without_a_copy_it_is_asked(self) -> None:
        stage = Stage(settings=ASKS)
        stage.names = None
        await stage.source.start()
        assert await stage.asks("anna") == "dc1: down"
        stage.names = ["anna"]
        assert [await stage.asks(name) for name in ("anna", "xaver")] == [True, False]

    async def test_forgetting(self) -> None:
        stage = Stage(settings=ASKS)
        await stage.source.start()
        await stage.asks("xaver")
        assert stage.source.forget(Address("xaver", "example.org"))
        with pytest.raises(NotAtHand):
            stage.says("xaver")

    async def test_beyond_the_bound_the_copy_decides(self) -> None:
        stage = Stage(settings=replace(ASKS, questions=QuestionSettings(per_minute=1)))
        await stage.source.start()
        assert [await stage.asks(f"x{number}") for number in range(100)] == [False] * 100
        assert len(stage.asked) < 3
        assert "questions_per_minute" in str(stage.journal.one(Event.RECIPIENTS_FAILED)["reason"])


class TestAskedOnly:
    """A directory that is never read."""

    async def test_each_address_is_asked_for(self) -> None:
        stage = Stage(settings=ASKED)
        await stage.source.start()
        assert (stage.readings, stage.looks, stage.source.age) == (0, 1, None)
        assert [await stage.asks(name) for name in ("anna", "xaver", "anna", "xaver")] == [True, False, True, False]
        assert len(stage.asked) == 2
        assert await stage.source.refresh() == "each address is asked for; 1 are remembered"

    async def test_an_outage(self) -> None:
        """Who was there is there; of others nothing is known."""
        stage = Stage(settings=ASKED)
        await stage.source.start()
        await stage.asks("anna")
        stage.names = None
        assert [await stage.asks(name) for name in ("anna", "bert")] == [True, "dc1: down"]
        assert await stage.source.refresh() == "dc1: down"
        stage.names = ["anna", "bert"]
        await stage.source.refresh()
        assert stage.journal.of(Event.RECIPIENTS_LOADED)
        assert await stage.asks("bert") is True

    async def test_beyond_the_bound_it_cannot_say(self) -> None:
        stage = Stage(settings=replace(ASKED, questions=QuestionSettings(per_minute=1)))
        said = [await stage.asks(f"x{number}") for number in range(100)]
        assert said[0] is False
        assert said[-1] == "more questions than questions_per_minute"

    async def test_it_is_looked_at_again_and_again(self, clock: trio.testing.MockClock) -> None:
        stage = Stage(settings=ASKED)
        await stage.source.start()
        with trio.move_on_after(150):
            await stage.source.run()
        assert (stage.looks, stage.closed) == (1 + 1 + 2, 1)


class TestFollowing:
    """Changes between two readings."""

    @staticmethod
    async def run(stage: Stage, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await stage.source.run()

    @staticmethod
    def changes(*here: str, gone: Sequence[str] = (), usn: int = 8) -> Changes:
        return Changes([person(one) for one in here], [person(one) for one in (*here, *gone)], replace(MARK, usn=usn))

    async def test_they_are_taken_in(self, clock: trio.testing.MockClock) -> None:
        stage = Stage(settings=FOLLOWS)
        stage.mark = MARK
        await stage.source.start()
        stage.changed = [self.changes("emil"), self.changes(gone=["anna"], usn=9)]
        await self.run(stage, 20)
        assert [stage.says(name) for name in ("emil", "anna")] == [True, True]
        await self.run(stage, 16)
        assert [stage.says(name) for name in ("emil", "anna")] == [True, False]
        assert stage.mark == replace(MARK, usn=9)
        assert stage.readings == 1
        assert [line["entries"] for line in stage.journal.of(Event.RECIPIENTS_LOADED)] == [4, 5, 4]

    async def test_who_cannot_tell_is_read(self, clock: trio.testing.MockClock) -> None:
        stage = Stage(settings=FOLLOWS)
        stage.mark = MARK
        await stage.source.start()
        stage.changed = [None]
        await self.run(stage, 16)
        assert stage.readings == 2

    async def test_who_loses_half_by_changes_is_read(self, clock: trio.testing.MockClock) -> None:
        stage = Stage(settings=FOLLOWS)
        stage.mark = MARK
        await stage.source.start()
        stage.changed = [self.changes(gone=["anna", "bert", "carl"])]
        await self.run(stage, 16)
        assert (stage.readings, stage.says("anna")) == (2, True)

    async def test_one_that_is_down_is_asked_again(self, clock: trio.testing.MockClock) -> None:
        stage = Stage(settings=FOLLOWS)
        stage.mark = MARK
        await stage.source.start()
        stage.changed = [SourceError("down"), SourceError("down"), self.changes("emil")]
        await self.run(stage, 50)
        assert (stage.readings, stage.says("emil")) == (1, True)
        assert stage.journal.one(Event.RECIPIENTS_FAILED)["reason"] == "changes cannot be read: down"

    async def test_one_without_them_is_not_asked(self, clock: trio.testing.MockClock) -> None:
        stage = Stage(settings=FOLLOWS)
        await stage.source.start()
        stage.changed = [SourceError("asked")]
        await self.run(stage, 50)
        assert len(stage.changed) == 1


class TestAcceptedDomains:
    SETTINGS = replace(ASKS, accepted_domains=True, ours=frozenset({"example.org", "relay.example"}))

    async def test_missing_is_who_is_missing_in_an_authoritative_domain(self) -> None:
        stage = Stage(settings=self.SETTINGS)
        await stage.source.start()
        assert await stage.asks("xaver") is False
        assert stage.says("xaver", "relay.example") is None  # nobody is asked
        assert stage.says("xaver", "elsewhere.example") is None
        assert len(stage.asked) == 1
        assert stage.journal.of(Event.RECIPIENTS_DOMAINS) == []

    async def test_where_they_were_never_read_nobody_is_missing(self) -> None:
        stage = Stage(settings=self.SETTINGS)
        stage.names = None
        await stage.source.start()
        stage.names = ["anna"]
        await stage.source._read(force=True)
        assert await stage.asks("xaver") == "accepted domains: dc1: down"
        assert stage.says("anna") is True
        await stage.source.refresh()
        assert await stage.asks("xaver") is False
        assert stage.source.about()["accepted_domains"] == 2

    async def test_they_are_read_with_the_rest(self, clock: trio.testing.MockClock) -> None:
        stage = Stage(settings=self.SETTINGS)
        await stage.source.start()
        stage.domains = {"example.org": False}
        with trio.move_on_after(61):
            await stage.source.run()
        assert stage.says("xaver") is None
        assert stage.journal.one(Event.RECIPIENTS_DOMAINS)["not_accepted"] == ["relay.example"]

    async def test_asked_only(self) -> None:
        stage = Stage(settings=replace(self.SETTINGS, reads=False))
        await stage.source.start()
        assert await stage.asks("xaver", "relay.example") is None
        assert await stage.asks("xaver") is False
        stage.names = None
        assert await stage.asks("zeno", "relay.example") is None
        assert await stage.asks("zeno") == "dc1: down"
