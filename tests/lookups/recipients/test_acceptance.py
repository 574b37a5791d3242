"""Accepted domains over outages and restarts."""

from pathlib import Path

import pytest

from smtproxy.lookups.recipients.acceptance import Acceptance, AcceptanceSettings, kept
from smtproxy.lookups.recipients.accepted_domains import AcceptedDomains
from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.session.records import Event
from tests.fakes.journal import FakeJournal


class Stage:
    def __init__(self, copy: Path | None = None, ours: frozenset[str] | None = frozenset({"example.org"})) -> None:
        self.domains: AcceptedDomains | None = {"example.org": True, "relay.example": False}
        self.journal = FakeJournal()
        self.acceptance = Acceptance(AcceptanceSettings("ad", ours, copy=copy), self.journal, self.read)

    async def read(self) -> AcceptedDomains:
        if self.domains is None:
            raise SourceError("dc1: down")
        return self.domains


async def test_differences_are_said_once() -> None:
    stage = Stage()
    await stage.acceptance.start()
    await stage.acceptance.refresh()
    line = stage.journal.one(Event.RECIPIENTS_DOMAINS)
    assert (line["source"], line["not_ours"], line["not_accepted"]) == ("ad", ["relay.example"], [])
    stage.domains = {"example.org": True}
    await stage.acceptance.refresh()
    stage.domains = {"example.com": True}
    await stage.acceptance.refresh()
    assert stage.journal.of(Event.RECIPIENTS_DOMAINS)[1:] == [
        {"source": "ad", "not_ours": ["example.com"], "not_accepted": ["example.org"]}
    ]


async def test_with_any_domain_nothing_is_compared() -> None:
    stage = Stage(ours=None)
    await stage.acceptance.start()
    assert stage.journal.lines == []


async def test_an_outage_and_a_restart(tmp_path: Path) -> None:
    before = Stage(tmp_path / "a")
    assert before.acceptance.refuses("example.org") is None
    await before.acceptance.start()
    before.domains = None
    await before.acceptance.refresh()
    assert before.acceptance.trouble == "accepted domains: dc1: down"
    after = Stage(tmp_path / "a")
    after.domains = None
    await after.acceptance.start()
    for acceptance in (before.acceptance, after.acceptance):
        assert [acceptance.refuses(name) for name in ("example.org", "relay.example", "x.example")] == [
            True,
            False,
            False,
        ]


async def test_a_copy_that_cannot_be_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "none" / "a")
    await stage.acceptance.start()
    assert stage.acceptance.refuses("example.org") is True
    assert "cannot be kept" in stage.acceptance.trouble


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version":1}', '{"version":2,"domains":{"a":true}}', '{"version":1,"domains":{}}']
)
def test_what_is_no_copy(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").write_text(text)
    assert kept(tmp_path / "a") is None
