"""A file that changes, in good ways and bad."""

import os
import threading
from pathlib import Path

import pytest
import trio

from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.file import FileSettings, FileSource, load
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.policy.evidence import Known, Unknown
from smtproxy.session.records import Event
from tests.fakes.journal import FakeJournal


class Stage:
    """A source and its file; each writing is a second later than the one before."""

    def __init__(self, directory: Path, shrink: float = 0.5) -> None:
        self.path = directory / "recipients.txt"
        self.journal = FakeJournal()
        self.time = 1000
        self.source = FileSource(
            FileSettings("people", self.path, frozenset({"example.org"}), shrink),
            Spelling(),
            self.journal,
            lambda: self.time + 5.0,
        )

    def write(self, *names: str, end: str = "\n") -> None:
        self.time += 1
        self.path.write_text("\n".join(f"{name}@example.org" for name in names) + end)
        os.utime(self.path, (self.time, self.time))

    def has(self, name: str) -> bool:
        opinion = self.source.at_hand(Address(name, "example.org"))
        assert isinstance(opinion, Known)
        return opinion.value.exists

    async def look_twice(self) -> None:
        await self.source.look()
        await self.source.look()


async def test_it_is_read_at_the_start_and_when_it_has_changed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.write("anna", "bert")
    await stage.source.start()
    assert stage.has("anna")
    assert not stage.has("carl")
    stage.write("anna", "carl")
    await stage.source.look()
    assert not stage.has("carl")  # somebody may still be writing
    await stage.source.look()
    assert stage.has("carl")
    assert not stage.has("bert")
    assert [line["entries"] for line in stage.journal.of(Event.RECIPIENTS_LOADED)] == [2, 2]
    assert stage.source.about()["age"] == 5.0
    await stage.look_twice()
    assert len(stage.journal.lines) == 2  # nothing new


@pytest.mark.parametrize("way", ["half-written", "gone", "empty", "shrunk", "unreadable"])
async def test_a_version_that_is_not_whole_changes_nothing(tmp_path: Path, way: str) -> None:
    stage = Stage(tmp_path)
    stage.write("anna", "bert", "carl", "dora")
    await stage.source.start()
    match way:
        case "half-written":
            stage.write("anna", "be", end="")
        case "gone":
            stage.path.unlink()
        case "empty":
            stage.write(end="")
        case "shrunk":
            stage.write("anna")
        case _:
            stage.path.unlink()
            stage.path.mkdir()
    for _ in range(3):
        await stage.look_twice()
    assert all(stage.has(name) for name in ("anna", "bert", "carl", "dora"))
    failed = stage.journal.one(Event.RECIPIENTS_FAILED)  # said once, not each second
    assert failed["entries"] == 4
    if way in ("gone", "unreadable"):
        (tmp_path / "recipients.txt").rmdir() if way == "unreadable" else None
    stage.write("anna", "bert", "eva")
    await stage.look_twice()
    assert stage.has("eva")
    assert stage.source.about()["trouble"] == ""


async def test_refresh_takes_what_has_shrunk(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.write("anna", "bert", "carl", "dora")
    await stage.source.start()
    stage.write("anna")
    await stage.look_twice()
    assert stage.has("bert")
    assert await stage.source.refresh() == "1 addresses"
    assert not stage.has("bert")


async def test_without_a_first_version_it_cannot_say(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert stage.source.at_hand(Address("a", "example.org")) == Unknown("not read yet")
    await stage.source.start()
    assert stage.source.at_hand(Address("a", "example.org")) == Unknown("No such file or directory")
    assert stage.source.covers("example.org")
    assert not stage.source.covers("example.net")
    assert not stage.source.forget(Address("a", "example.org"))


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_text("a@b.org\n")
    versions = iter([(1, 8, 1), (2, 9, 1)])
    monkeypatch.setattr("smtproxy.lookups.recipients.file._version", lambda path: next(versions))
    assert load(path, Spelling())[0] is None


def test_load(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        load(tmp_path / "none", Spelling())


async def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    os.mkfifo(stage.path)
    await stage.source.start()
    assert stage.source.at_hand(Address("a", "example.org")) == Unknown("is no regular file")


async def test_a_file_system_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path)
    token, began, hangs = trio.lowlevel.current_trio_token(), trio.Event(), threading.Event()

    def load_slowly(_path: Path, _spelling: Spelling) -> None:
        token.run_sync_soon(began.set)
        hangs.wait(10)
        raise SourceError("let go")

    monkeypatch.setattr("smtproxy.lookups.recipients.file.load", load_slowly)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.source.start)
        await began.wait()
        nursery.cancel_scope.cancel()
    assert stage.source.at_hand(Address("a", "example.org")) == Unknown("not read yet")  # nobody waited until it let go
    hangs.set()
