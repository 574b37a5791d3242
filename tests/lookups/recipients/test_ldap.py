"""A directory that comes and goes."""

from pathlib import Path

import pytest
import trio
import trio.testing

from smtproxy.lookups.recipients import safe_copy
from smtproxy.lookups.recipients.entries import PRESENT, SourceError
from smtproxy.lookups.recipients.exchange import Item
from smtproxy.lookups.recipients.ldap import ALARM, LdapSettings, LdapSource
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.policy.evidence import Known, Unknown
from smtproxy.session.records import Event
from tests.fakes.journal import FakeJournal


class Stage:
    """A source, its directory as a list of names, and a clock."""

    def __init__(self, copy: Path | None = None) -> None:
        self.names: list[str] | None = ["anna", "bert", "carl", "dora"]
        self.readings = 0
        self.now = 1000.0
        self.journal = FakeJournal()
        settings = LdapSettings("ad", refresh=60, max_age=600, copy=copy)
        self.source = LdapSource(settings, Spelling(), self.journal, lambda: self.now, self.read)

    async def read(self) -> list[Item]:
        self.readings += 1
        if self.names is None:
            raise SourceError("dc1: down")
        return [Item(f"cn={name}", {"mail": [f"{name}@example.org"]}) for name in self.names]

    def says(self, name: str) -> bool | str:
        opinion = self.source.at_hand(Address(name, "example.org"))
        if isinstance(opinion, Known):
            return opinion.value.exists
        assert isinstance(opinion, Unknown)
        return opinion.reason


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
