"""The store of a configuration: one for all workers of this machine."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from smtproxy.app.config import load
from smtproxy.app.config.store import Store
from smtproxy.app.stores import SECRET, opened, remember, wall_clock
from smtproxy.network.record_lock import LockFile
from smtproxy.stores.store import Rate
from tests.app.config.test_store import TEXT

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
    shared = remember(_settings(tmp_path), locks)
    one, other = opened(shared), opened(shared)
    _in_another_process(lambda: opened(shared).store.note_take("1/k", RATE))
    assert (await one.store.take("1/k", RATE)).left == pytest.approx(1.0, abs=0.1)
    assert (await other.store.take("1/k", RATE)).allowed
    assert not (await one.store.take("1/k", RATE)).allowed
    locks.close()


async def test_it_runs_until_it_is_told_to_end(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    locks = LockFile()
    with trio.move_on_after(3600) as scope:
        await opened(remember(_settings(tmp_path), locks)).run()
    assert scope.cancelled_caught
    locks.close()


def test_privacy_needs_a_secret(tmp_path: Path) -> None:
    locks = LockFile()
    assert remember(_settings(tmp_path), locks).secret is None
    shared = remember(_settings(tmp_path, "store.privacy = true\n"), locks)
    assert shared.secret is not None
    assert len(shared.secret) == SECRET
    assert opened(shared).secret == shared.secret
    locks.close()


def test_the_clock_is_the_wall_s() -> None:
    assert wall_clock() > 1_700_000_000
