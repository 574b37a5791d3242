"""The scripts on a real server: they do what the store in memory does, by the server's clock."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from smtproxy.stores.scripts import COUNT, PUT, READ, TAKE
from smtproxy.stores.store import Kind, Rate
from tests.end_to_end.programs.redis import Redis
from tests.stores.valkeys import store_on

RATE = Rate(amount=1, period=1000, burst=5)
SLOW = 1e6
"""A half-life in which nothing decays while a test runs."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(Path(tmp_path_factory.mktemp("redis"))) as running:
        yield running


def test_no_script_is_put_together() -> None:
    assert all("KEYS[1]" in script and "KEYS[2]" not in script for script in (TAKE, COUNT, PUT, READ))


async def test_limits(server: Redis) -> None:
    async with store_on(server) as store:
        key = "1/limit/a"
        assert (await store.take(key, RATE, charge=False)).left == 4.0
        for number in range(5):
            taken = await store.take(key, RATE)
            assert taken.allowed
            assert taken.left == pytest.approx(4 - number, abs=0.1)
        for _ in range(3):
            taken = await store.take(key, RATE)
            assert not taken.allowed
            assert taken.wait == pytest.approx(1000, rel=0.1)
        assert not (await store.take("1/limit/b", RATE, 6.0)).allowed
        ((found, record),) = await store.scan("1/limit/")
        assert (found, record.kind) == (key, Kind.LIMIT)
        assert record.number == pytest.approx(5.0, abs=0.1)
        assert await store.forget(key)
        assert (await store.take(key, RATE)).left == pytest.approx(4.0)


async def test_a_bucket_leaks_by_the_clock_of_the_server(server: Redis) -> None:
    fast = Rate(amount=1, period=0.02, burst=1)
    async with store_on(server) as store:
        assert (await store.take("1/fast", fast)).allowed
        while not (await store.take("1/fast", fast)).allowed:  # or for ever
            pass


async def test_what_is_noted_fills_a_bucket_and_no_more(server: Redis) -> None:
    async with store_on(server) as store:
        store.note_take("1/note", RATE, 100.0)
        while (await store.take("1/note", RATE, charge=False)).allowed:
            pass
        assert (await store.take("1/note", RATE)).wait == pytest.approx(1000, rel=0.1)


async def test_counters(server: Redis) -> None:
    async with store_on(server) as store:
        key = "1/count"
        assert await store.count(key, SLOW) == 0.0
        assert await store.add(key, 2.5, SLOW) == 2.5
        assert await store.add(key, 1.0, SLOW) == pytest.approx(3.5, rel=1e-3)
        assert await store.count(key, SLOW) == pytest.approx(3.5, rel=1e-3)
        ((_, record),) = await store.scan(key)
        assert record.kind is Kind.COUNTER
        assert record.number == pytest.approx(3.5, rel=1e-3)
        assert await store.add(key, -100.0, SLOW) == 0.0
        assert await store.scan(key) == []
        await store.add(key, 1.0, 0.001)
        while await store.count(key, 0.001) > 0.0:  # a millisecond each
            pass


async def test_texts(server: Redis) -> None:
    async with store_on(server) as store:
        key = "1/text/[*]"
        assert await store.get(key) is None
        await store.put(key, "a text, with blanks", 1000.0)
        first = await store.get(key)
        assert first is not None
        assert first.text == "a text, with blanks"
        assert first.expires - first.since == pytest.approx(1000, abs=30)
        await store.put(key, "a text, with blanks", 2000.0)
        again = await store.get(key)
        assert again is not None
        assert (again.since, again.expires > first.expires) == (first.since, True)
        await store.put(key, "another", 2000.0, pinned=True)
        ((name, record),) = await store.scan("1/text/[")
        assert (name, record.text, record.pinned) == (key, "another", True)
        assert record.since > first.since
        assert not await store.put(key, "learned", 3000.0)
        assert (await store.scan(key))[0][1].text == "another"
        assert await store.forget(key)
        assert not await store.forget(key)
        await store.put(key, "", 1000.0)
        empty = await store.get(key)
        assert empty is not None
        assert empty.text == ""
