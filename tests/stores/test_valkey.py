"""The shared store and a server that fails: nobody waits longer than the deadline, and it comes back by itself.

The server is a fake, the clock trio's: what a real one says is in test_scripts.py, and how a real one dies in
test_valkey_client.py.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from smtproxy.session.records import Event
from smtproxy.stores.store import Rate
from smtproxy.stores.valkey import BEAT, FIRST_PAUSE, MOST_NOTES, PROBE, STEADY
from tests.stores.tables import at_once
from tests.stores.valkeys import Setting, running, until

RATE = Rate(amount=60, period=60, burst=5)
DEADLINE = 0.05


@dataclass(slots=True)
class FakeServer:
    """Answers what it is told, is silent, or raises; `connect` makes connections to it."""

    mood: str = "well"
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    connections: int = 0

    async def run(self, script: str, name: str, arguments: Sequence[str]) -> Sequence[bytes]:
        await self._answer()
        self.asked.append((name, tuple(arguments)))
        return [b"0", b"", b"-2"]

    async def names(self, prefix: str) -> list[str]:
        await self._answer()
        return []

    async def delete(self, names: Sequence[str]) -> int:
        await self._answer()
        return 1

    async def _answer(self) -> None:
        if self.mood == "silent":
            await trio.sleep_forever()
        if self.mood == "broken":
            raise ConnectionError("reset")
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["FakeServer"]:
        self.connections += 1
        if self.mood == "refuses":
            raise ExceptionGroup("from somewhere within", [ConnectionError("refused")])
        yield self


def _setting(server: FakeServer) -> Setting:
    return Setting(server.connect, DEADLINE)


async def test_before_there_is_a_server_the_memory_answers_at_once() -> None:
    setting = _setting(FakeServer())
    assert not setting.store.waits
    assert at_once(setting.store.take("k", RATE)).left == 4.0
    assert setting.local.take_now("k", RATE).left == 3.0


async def test_the_server_is_asked_when_it_is_there(autojump_clock: trio.testing.MockClock) -> None:
    server = FakeServer()
    async with running(_setting(server)) as store:
        assert (await store.take("1/k", RATE)).left == 4.0
        assert server.asked.pop() == ("smtproxy:{1/k}:l", ("1.0", "5.0", "0.01", "1.0", "take"))
        await store.put("1/k", "text", 60.0, pinned=True)
        assert server.asked.pop() == ("smtproxy:{1/k}:t", ("text", "60.0", "1"))
        assert await store.get("1/k") is None
        assert await store.count("1/k", 60.0) == 0.0
        assert await store.forget("1/k")
        assert await store.scan("1/") == []


@pytest.mark.parametrize("mood", ["silent", "broken"])
async def test_one_deadline_and_nobody_waits_any_more(mood: str, autojump_clock: trio.testing.MockClock) -> None:
    server = FakeServer()
    setting = _setting(server)
    async with running(setting) as store:
        server.mood = mood
        began = trio.current_time()

        async def ask() -> None:
            assert (await store.take("1/k", RATE)).allowed
            assert trio.current_time() - began <= DEADLINE + 0.001

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
        at = trio.current_time()
        assert not (await store.take("1/k", RATE)).allowed  # counted here, to the last one
        assert at_once(store.count("1/k", 60.0)) == 0.0
        assert trio.current_time() == at
        reason = setting.journal.one(Event.STORE_DOWN)["reason"]
        assert reason == ("timeout" if mood == "silent" else "ConnectionError: reset")
        server.mood = "well"
        await until(lambda: store.waits)
        assert setting.journal.one(Event.STORE_UP)["down"] == pytest.approx(FIRST_PAUSE, abs=0.1)


async def test_a_server_that_dies_in_a_quiet_night_is_noticed(autojump_clock: trio.testing.MockClock) -> None:
    server = FakeServer()
    setting = _setting(server)
    async with running(setting) as store:
        await trio.sleep(BEAT * 10)
        before = store.waits
        server.mood = "silent"
        await trio.sleep(BEAT + DEADLINE + 0.01)
        assert (before, store.waits) == (True, False)
        setting.journal.one(Event.STORE_DOWN)


@pytest.mark.parametrize("mood", ["silent", "broken", "refuses"])
async def test_a_start_without_a_server_is_one_line(mood: str, autojump_clock: trio.testing.MockClock) -> None:
    server = FakeServer(mood)
    setting = _setting(server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setting.store.run)
        await trio.sleep(300)
        assert server.connections in range(8, 20)  # each pause twice the one before, up to half a minute
        assert len(setting.journal.lines) == 1
        server.mood = "well"
        await until(lambda: setting.store.waits)
        nursery.cancel_scope.cancel()


async def test_a_server_that_comes_and_goes_is_asked_less_and_less(autojump_clock: trio.testing.MockClock) -> None:
    server = FakeServer()
    setting = _setting(server)
    async with running(setting) as store:
        pauses = []
        for steady in (0.0, 0.0, 0.0, STEADY + 1):
            await trio.sleep(steady)
            server.mood = "silent"
            await store.take("1/k", RATE)
            server.mood, at = "well", trio.current_time()
            await until(lambda: store.waits)
            pauses.append(round(trio.current_time() - at))
    assert pauses == [1, 2, 4, 1]


async def test_a_connection_that_hangs_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    setting = _setting(FakeServer("silent"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setting.store.run)
        await trio.sleep(PROBE + 0.1)
        assert setting.journal.one(Event.STORE_DOWN)["reason"] == "timeout"
        nursery.cancel_scope.cancel()


async def test_notes_are_sent_in_the_background_and_together(autojump_clock: trio.testing.MockClock) -> None:
    server = FakeServer()
    async with running(_setting(server)) as store:
        server.asked.clear()
        for _ in range(10):
            store.note_take("1/k", RATE, 2.0)
            store.note_add("1/k", 1.5, 60.0)
            store.note_put("1/k", "text", 60.0)
        assert server.asked == []
        await trio.testing.wait_all_tasks_blocked()
        assert [(name[-1], arguments[:1], arguments[-1]) for name, arguments in server.asked] == [
            ("l", ("1.0",), "note"),
            ("c", ("15.0",), "add"),
            ("t", ("text",), "0"),
        ]
        assert server.asked[0][1][3] == "20.0"


async def test_notes_that_cannot_be_sent_are_kept_here(autojump_clock: trio.testing.MockClock) -> None:
    server = FakeServer()
    setting = _setting(server)
    async with running(setting) as store:
        server.mood = "silent"
        store.note_take("1/k", RATE, 2.0)
        store.note_add("1/k", 1.5, 60.0)
        store.note_put("1/k", "text", 60.0)
        await trio.sleep(DEADLINE * 2)
        store.note_take("1/k", RATE, 1.0)
        assert setting.local.take_now("1/k", RATE, charge=False).left == pytest.approx(1.0)
        assert setting.local.count_now("1/k", 60.0) == pytest.approx(1.5)
        assert setting.local.get_now("1/k") is not None


async def test_notes_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    setting = _setting(FakeServer())
    async with running(setting) as store:
        for number in range(MOST_NOTES + 1):
            store.note_add(f"{number}", 1.0, 60.0)
        assert setting.local.count_now(f"{MOST_NOTES}", 60.0) == pytest.approx(1.0)
        assert setting.local.count_now("0", 60.0) == 0.0
