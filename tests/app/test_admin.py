"""Questions to workers, over a real socket."""

import os
import socket
from pathlib import Path

import pytest
import trio

from smtproxy.app.admin import answer, ask_workers, listen, written
from smtproxy.lookups.recipients.combined import Recipients, Scope
from smtproxy.lookups.recipients.learned import LearnedSettings, LearnedSource
from smtproxy.lookups.recipients.spelling import Spelling
from smtproxy.session.records import Event
from tests.fakes.journal import FakeJournal

MESSAGE = {
    "client": "192.0.2.1",
    "sender": "a@sender.example",
    "recipients": [{"to": "user@example.org", "reply": "550 5.1.1 no", "by": "backend"}],
    "recipients_total": 1,
    "recipients_accepted": 0,
    "by": "backend",
    "reply": "550 5.1.1 no",
}


def known() -> Recipients:
    made = Recipients([LearnedSource(LearnedSettings("taught"), Spelling(), lambda: 1.0)], Spelling(), Scope())
    made.heard(MESSAGE)
    return made


async def _until_there(path: Path) -> None:
    with trio.fail_after(10):
        while True:
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(path)) == 0:
                    return
            await trio.lowlevel.checkpoint()


async def test_a_worker_is_asked_and_one_that_was_killed_is_left_out(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "worker-1.sock"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, tmp_path, known(), FakeJournal())
        name = f"worker-{os.getpid()}"
        path = tmp_path / f"{name}.sock"
        await _until_there(path)
        assert path.stat().st_mode & 0o777 == 0o600

        async def ask(word: str, address: str = "User@example.org") -> str:
            answers = await trio.to_thread.run_sync(ask_workers, tmp_path, word, address)
            assert list(answers) == [name]
            return written(answers[name])

        assert await ask("show") == (
            "  taught (learned): does not exist [entries=1]\n  all together: does not exist [by=taught]\n"
        )
        assert await ask("forget") == "  taught (learned): forgotten\n"
        assert await ask("forget") == "  taught (learned): knew nothing\n"
        assert "taught (learned): no opinion" in await ask("show")
        assert await ask("refresh", "") == "  taught (learned): forgot 0 addresses\n"
        assert await ask("show", "nobody") == "  this is no question\n"
        assert await ask("drop") == "  this is no question\n"
        nursery.cancel_scope.cancel()
    assert not path.exists()


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"[1,2]\n", b'["show"]\n', b"x" * 9000, b'["show",5]\n', b"\xff\n"])
async def test_nonsense_ends_nothing(tmp_path: Path, line: bytes) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, tmp_path, known(), FakeJournal())
        path = tmp_path / f"worker-{os.getpid()}.sock"
        await _until_there(path)
        for _ in range(2):
            async with await trio.open_unix_socket(str(path)) as stream:
                await stream.send_all(line)
                assert await stream.receive_some() == b'[{"says": "this is no question"}]\n'
        nursery.cancel_scope.cancel()


async def test_a_bug_ends_one_question_and_not_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, journal = known(), FakeJournal()

    async def broken() -> list[dict[str, object]]:
        raise ZeroDivisionError

    monkeypatch.setattr(made, "refresh", broken)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, tmp_path, made, journal)
        await _until_there(tmp_path / f"worker-{os.getpid()}.sock")
        (rows,) = (await trio.to_thread.run_sync(ask_workers, tmp_path, "refresh", "")).values()
        assert rows == [{"says": "gave no answer"}]
        (rows,) = (await trio.to_thread.run_sync(ask_workers, tmp_path, "forget", "user@example.org")).values()
        assert rows[0]["says"] == "forgotten"
        nursery.cancel_scope.cancel()
    assert isinstance(journal.one(Event.CRASH)["error"], ZeroDivisionError)


async def test_a_worker_that_cannot_listen_says_so_and_goes_on(tmp_path: Path) -> None:
    journal = FakeJournal()
    await listen(tmp_path / "none", known(), journal)
    assert journal.one(Event.CRASH)["where"] == "admin socket"


async def test_what_is_no_question() -> None:
    with pytest.raises(ValueError, match="x"):
        await answer(known(), "show", "x")


def test_a_line_is_one_line() -> None:
    assert written([{"source": "a", "kind": "ldap", "says": "x\ny", "age": 5}]) == "  a (ldap): x?y [age=5]\n"
