"""A real server: shared by two clients, killed, stopped in the middle of load, empty again; TLS, password, cluster.

No time of this machine is asserted but by trio's clock, and there with room for a busy one.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from smtproxy.session.records import Event
from smtproxy.stores.store import Rate, Store
from smtproxy.stores.valkey_client import connect
from tests.end_to_end.programs.process import HOST
from tests.end_to_end.programs.redis import Redis
from tests.fakes.certificates import authority, issue
from tests.stores.valkeys import Setting, running, settings_of, store_on, until

RATE = Rate(amount=1, period=10000, burst=100)
DEADLINE = 0.5
MARGIN = 3.0
"""Seconds for a busy machine. A wait for the server itself would be without end."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    with Redis(tmp_path / "redis") as running_server:
        yield running_server


async def test_a_limit_holds_exactly_over_two_machines(server: Redis) -> None:
    taken: list[bool] = []
    async with store_on(server) as one, store_on(server) as other:

        async def take(store: Store) -> None:
            taken.extend([(await store.take("1/k", RATE)).allowed for _ in range(20)])

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(take, (one, other)[number % 2])
    assert (len(taken), sum(taken)) == (200, 100)


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_server_that_dies_under_load_holds_nobody_up_and_comes_back(server: Redis, how: str) -> None:
    setting = Setting(partial(connect, settings_of(server)), DEADLINE)
    slowest, answers = 0.0, 0
    async with running(setting) as store:
        stop = trio.Event()

        async def load(number: int) -> None:
            nonlocal slowest, answers
            while not stop.is_set():
                began = trio.current_time()
                await store.take(f"1/{number}", RATE)
                slowest = max(slowest, trio.current_time() - began)
                answers += 1
                await trio.sleep(0.001)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(load, number)
            await until(lambda: answers > 100)
            server.kill() if how == "killed" else server.pause()
            await until(lambda: not store.waits)
            before = answers
            await until(lambda: answers > before + 100)
            server.start() if how == "killed" else server.resume()
            await until(lambda: store.waits)
            before = answers
            await until(lambda: answers > before + 100)
            stop.set()
        assert slowest < DEADLINE + MARGIN
        assert len(setting.journal.of(Event.STORE_DOWN)) >= 1
        assert len(setting.journal.of(Event.STORE_UP)) == len(setting.journal.of(Event.STORE_DOWN))


async def test_a_server_that_was_restarted_empty_learns_the_scripts_again(server: Redis) -> None:
    async with store_on(server) as store:
        assert (await store.take("1/k", RATE)).left == pytest.approx(99.0)
        server.kill()
        server.start()
        await store.take("1/k", RATE)  # finds the old connection gone, or a new one
        await until(lambda: store.waits)
        assert (await store.take("1/new", RATE)).left == pytest.approx(99.0)


async def test_a_password_is_said(tmp_path: Path) -> None:
    with Redis(tmp_path / "redis", password="secret") as server:
        async with store_on(server, password="secret") as store:
            assert await store.put("1/k", "text", 60.0)
            assert await store.get("1/k") is not None
        setting = Setting(partial(connect, settings_of(server, password="wrong")))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(setting.store.run)
            await until(lambda: bool(setting.journal.lines))
            nursery.cancel_scope.cancel()
        assert "Auth" in str(setting.journal.one(Event.STORE_DOWN)["reason"])


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_certificate_is_verified(tmp_path: Path, trusted: bool) -> None:
    authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Redis(tmp_path / "redis", tls=issue(tmp_path, HOST)) as server:
        known = tmp_path / "ca.pem" if trusted else None
        setting = Setting(partial(connect, settings_of(server, tls=True, tls_ca=known)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(setting.store.run)
            await until(lambda: setting.store.waits if trusted else bool(setting.journal.lines))
            if trusted:
                assert await setting.store.put("1/k", "text", 60.0)
                assert await setting.store.get("1/k") is not None
            nursery.cancel_scope.cancel()
    assert [event for event, _ in setting.journal.lines] == ([] if trusted else [Event.STORE_DOWN])


async def test_a_cluster_is_one_store(tmp_path: Path) -> None:
    with Redis(tmp_path / "redis", cluster=True) as server:
        async with store_on(server, cluster=True) as store:
            assert (await store.take("1/k", RATE)).left == pytest.approx(99.0)
            await store.add("1/k", 1.0, 1e6)
            await store.put("1/k", "text", 60.0)
            assert len(await store.scan("1/")) == 3
            assert await store.forget("1/k")
