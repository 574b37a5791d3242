"""Questions to workers, over a real socket."""

import os
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from smtproxy.app.admin import BACKLOG, MOST, QUESTION_TIME, Desk, answer, ask_workers, listen, within_reach, written
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


def desks(made: Recipients) -> Mapping[str, Desk]:
    return {"recipients": partial(answer, made)}


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
        nursery.start_soon(listen, tmp_path, desks(known()), FakeJournal())
        name = f"worker-{os.getpid()}"
        path = tmp_path / f"{name}.sock"
        await _until_there(path)
        assert path.stat().st_mode & 0o777 == 0o600

        async def ask(word: str, address: str = "User@example.org") -> str:
            answers = await trio.to_thread.run_sync(ask_workers, tmp_path, "recipients", word, address)
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


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"[1,2]\n",
        b'["recipients","show"]\n',
        b"x" * 9000,
        b'["recipients","show",5]\n',
        b'["show","user@example.org"]\n',
        b"\xff\n",
    ],
)
async def test_nonsense_ends_nothing(tmp_path: Path, line: bytes) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, tmp_path, desks(known()), FakeJournal())
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
        nursery.start_soon(listen, tmp_path, desks(made), journal)
        await _until_there(tmp_path / f"worker-{os.getpid()}.sock")
        (rows,) = (await trio.to_thread.run_sync(ask_workers, tmp_path, "recipients", "refresh", "")).values()
        assert rows == [{"says": "gave no answer"}]
        (rows,) = (
            await trio.to_thread.run_sync(ask_workers, tmp_path, "recipients", "forget", "user@example.org")
        ).values()
        assert rows[0]["says"] == "forgotten"
        nursery.cancel_scope.cancel()
    assert isinstance(journal.one(Event.CRASH)["error"], ZeroDivisionError)


async def test_a_worker_that_cannot_listen_says_so_and_goes_on(tmp_path: Path) -> None:
    journal = FakeJournal()
    await listen(tmp_path / "none", desks(known()), journal)
    assert journal.one(Event.CRASH)["where"] == "admin socket"


async def test_a_socket_that_is_in_the_way_ends_no_worker(tmp_path: Path) -> None:
    """Neither could it be removed, and the worker ended with all its sessions."""
    path, journal = tmp_path / f"worker-{os.getpid()}.sock", FakeJournal()
    path.mkdir()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, tmp_path, desks(known()), journal)
    assert journal.one(Event.CRASH)["where"] == "admin socket"


async def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    """The kernel takes 107 octets, and the worker said "crash"."""
    state = tmp_path / ("x" * 120)
    state.mkdir()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, state, desks(known()), FakeJournal())
        path = state / f"worker-{os.getpid()}.sock"
        with within_reach(path) as name:
            await _until_there(Path(name))
        (rows,) = (await trio.to_thread.run_sync(ask_workers, state, "recipients", "show", "user@example.org")).values()
        assert rows[0]["says"] == "does not exist"
        nursery.cancel_scope.cancel()
    assert list(state.iterdir()) == []


async def test_many_who_ask_nothing_take_bounded_room_and_time(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Each took a descriptor of the worker's, and for ever if it did not read its answer."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, tmp_path, desks(known()), FakeJournal())
        path = tmp_path / f"worker-{os.getpid()}.sock"
        await _until_there(path)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - descriptors
        idle = []
        for _ in range(MOST + BACKLOG):
            one = socket.socket(socket.AF_UNIX)
            one.connect(str(path))
            idle.append(one)
            await wait_all_tasks_blocked()
        assert len(os.listdir("/proc/self/fd")) == before + MOST + BACKLOG + MOST  # noqa: PTH208
        async with await trio.open_unix_socket(str(path)) as stream:
            begun = trio.current_time()
            await stream.send_all(b'["recipients","forget","user@example.org"]\n')
            assert b"forgotten" in await stream.receive_some()
            assert QUESTION_TIME <= trio.current_time() - begun <= 3 * QUESTION_TIME
        for one in idle:
            one.close()
        nursery.cancel_scope.cancel()


async def test_who_takes_no_answer_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    made = known()

    async def endless() -> list[dict[str, object]]:
        return [{"says": "x" * 10_000_000}]

    monkeypatch.setattr(made, "refresh", endless)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, tmp_path, desks(made), FakeJournal())
        path = tmp_path / f"worker-{os.getpid()}.sock"
        await _until_there(path)
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(b'["recipients","refresh",""]\n')
            await trio.sleep(2 * QUESTION_TIME)
            with pytest.raises(trio.BrokenResourceError):
                await stream.send_all(b"?")
        nursery.cancel_scope.cancel()


async def test_what_is_no_question() -> None:
    with pytest.raises(ValueError, match="x"):
        await answer(known(), ("show", "x"))


def test_no_answer_is_an_answer() -> None:
    assert written([]) == "  no source of recipients has anything to do with that\n"


def test_a_line_is_one_line() -> None:
    assert written([{"source": "a", "kind": "ldap", "says": "x\ny", "age": 5}]) == "  a (ldap): x?y [age=5]\n"
