"""The store of a configuration: one for all workers of this machine."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from smtproxy.app.config import load
from smtproxy.app.config.store import Store
from smtproxy.app.stores import SECRET, opened, remember, wall_clock
from smtproxy.network.record_lock import LockFile
from smtproxy.session.records import Event
from smtproxy.stores.store import Rate
from tests.app.config.test_store import TEXT
from tests.end_to_end.programs.redis import Redis
from tests.fakes.journal import FakeJournal
from tests.stores.valkeys import until

RATE = Rate(1, 1000, 3)


def _settings(directory: Path, text: str = "") -> Store:
    file = directory / "config.toml"
    file.write_text(text + TEXT)
    return load(file).store


def _in_another_process(work: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


async def test_workers_share_what_is_in_memory(tmp_path: Path) -> None:
    locks = LockFile()
    shared = remember(_settings(tmp_path), locks, FakeJournal())
    one, other = opened(shared, FakeJournal()), opened(shared, FakeJournal())
    _in_another_process(lambda: opened(shared, FakeJournal()).store.note_take("1/k", RATE))
    assert (await one.store.take("1/k", RATE)).left == pytest.approx(1.0, abs=0.1)
    assert (await other.store.take("1/k", RATE)).allowed
    assert not (await one.store.take("1/k", RATE)).allowed
    locks.close()


async def test_it_runs_until_it_is_told_to_end(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    locks = LockFile()
    with trio.move_on_after(3600) as scope:
        await opened(remember(_settings(tmp_path), locks, FakeJournal()), FakeJournal()).run()
    assert scope.cancelled_caught
    locks.close()


def test_privacy_needs_a_secret(tmp_path: Path) -> None:
    locks = LockFile()
    assert remember(_settings(tmp_path), locks, FakeJournal()).secret is None
    shared = remember(_settings(tmp_path, "store.privacy = true\n"), locks, FakeJournal())
    assert shared.secret is not None
    assert len(shared.secret) == SECRET
    assert opened(shared, FakeJournal()).secret == shared.secret
    locks.close()


def test_the_clock_is_the_wall_s() -> None:
    assert wall_clock() > 1_700_000_000


STATE = 'server.state = "."\n'


async def test_a_file_is_read_at_the_start_and_written_by_the_workers(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    locks = LockFile()
    one = opened(remember(_settings(tmp_path, STATE), locks, FakeJournal()), FakeJournal())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        one.store.note_put("1/a", "text", 3600.0)
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    other = opened(remember(_settings(tmp_path, STATE), locks, FakeJournal()), FakeJournal())
    kept = await other.store.get("1/a")
    assert kept is not None
    assert kept.text == "text"
    locks.close()


def test_the_secret_of_a_file_lies_beside_it(tmp_path: Path) -> None:
    locks, settings = LockFile(), _settings(tmp_path, f"{STATE}store.privacy = true\n")
    one, other = remember(settings, locks, FakeJournal()), remember(settings, locks, FakeJournal())
    assert one.secret == other.secret == (tmp_path / "store.sqlite.secret").read_bytes()
    locks.close()


def test_a_secret_that_cannot_be_read_is_said_and_stops_nothing(tmp_path: Path) -> None:
    locks, journal = LockFile(), FakeJournal()
    (tmp_path / "store.sqlite.secret").mkdir()
    assert remember(_settings(tmp_path, f"{STATE}store.privacy = true\n"), locks, journal).secret
    assert journal.one(Event.STORE_DOWN)["reason"] == "Is a directory"
    locks.close()


async def test_two_machines_share_a_server(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    locks = LockFile()
    with Redis(tmp_path / "redis", password="secret") as server:
        text = f"[store]\nkind = 'valkey'\nservers = ['127.0.0.1:{server.port}']\npassword_file = 'password'\n"
        settings = _settings(tmp_path, f"{text}timeout = '5s'\n")
        one, other = (opened(remember(settings, locks, FakeJournal()), FakeJournal()) for _ in range(2))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.run)
            nursery.start_soon(other.run)
            await until(lambda: one.store.waits and other.store.waits)
            await one.store.put("1/a", "text", 60.0)
            assert await other.store.get("1/a") is not None
            nursery.cancel_scope.cancel()
    locks.close()


def test_the_secret_of_a_server_is_the_same_on_all_machines(tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("0123456789abcdef\n")
    locks, text = LockFile(), "[store]\nkind = 'valkey'\nservers = ['127.0.0.1:1']\n"
    settings = _settings(tmp_path, f"{text}privacy = true\nsecret_file = 'shared'\n")
    assert remember(settings, locks, FakeJournal()).secret == b"0123456789abcdef"
    locks.close()
