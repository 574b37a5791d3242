"""The sweeper: once a second it looks after every session and every pool, and after whoever has come or gone since."""

import contextlib
import os
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

from smtproxy.network.driver import Session
from smtproxy.network.pool import Pool
from smtproxy.network.sweeper import INTERVAL, answer, sweep
from smtproxy.policy.admission import RAISE_AFTER
from smtproxy.sample.script import Point, Rule, Script
from smtproxy.session.limits import LIMITS
from smtproxy.session.records import Event
from tests.network.stage import ENVELOPE, LETTER, Guest, Stage, quiet, stage, until


@contextlib.asynccontextmanager
async def sweeping(here: Stage) -> AsyncIterator[set[Session]]:
    """Sweep beside the block; -> the sessions that are looked after."""
    sessions: set[Session] = set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep, sessions, (here.pool,))
        yield sessions
        nursery.cancel_scope.cancel()


async def _waits_for_the_backend(here: Stage) -> Guest:
    guest = await here.enter()
    await guest.says_hello()
    await guest.client.say(ENVELOPE)
    await quiet()
    return guest


async def test_sessions_are_looked_after_once_a_second(mock_clock: MockClock) -> None:
    async with stage(Script((Rule(Point.RCPT, ()),))) as here, sweeping(here) as sessions:
        guest = await _waits_for_the_backend(here)
        sessions.add(guest.session)
        await guest.client.leave("closed")
        await here.pass_time(INTERVAL - 0.1)
        assert not guest.ended
        await here.pass_time(0.1)
        await here.over(guest)


async def test_sessions_that_come_later_are_looked_after_too(mock_clock: MockClock) -> None:
    async with stage() as here, sweeping(here) as sessions:
        await here.pass_time(INTERVAL)
        guest = await here.enter()
        await guest.says_hello()
        sessions.add(guest.session)
        await here.pass_time(LIMITS.command_time)
        assert [one.code for one in await guest.client.hear_the_end()] == [421]


async def test_a_session_that_ends_by_another_ones_sweep_is_no_trouble(mock_clock: MockClock) -> None:
    async with stage(Script((Rule(Point.RCPT, ()),))) as here, sweeping(here) as sessions:
        guests = [await _waits_for_the_backend(here) for _ in range(3)]
        sessions.update(guest.session for guest in guests)
        for guest in guests:
            await guest.client.leave("reset")
        await here.pass_time(INTERVAL)
        await here.over(*guests)
        sessions.clear()
        await here.pass_time(INTERVAL)


async def test_holders_are_asked_for_their_places_while_others_wait(mock_clock: MockClock) -> None:
    async with stage(places=1) as here, sweeping(here):
        holder = await here.enter()
        await holder.says_hello()
        assert await holder.codes(ENVELOPE, 2) == [250, 250]
        waiter = await _waits_for_the_backend(here)
        assert here.pool.waiting == 1
        await here.pass_time(2 * INTERVAL)
        assert [one.code for one in await waiter.client.hear(2)] == [250, 250]


async def test_pools_are_tended(mock_clock: MockClock) -> None:
    async with stage(warm=1) as here, sweeping(here):
        assert (await here.mail(LETTER)).code == 250
        here.server.places.change(here.server.ceiling - 1)
        for _ in range(round(2 * RAISE_AFTER)):
            await here.pass_time(INTERVAL)
        assert here.server.ceiling == here.pool.max_connections
        await until(lambda: here.server.open == 0)


async def test_a_bug_in_one_session_ends_that_one(mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with stage(Script((Rule(Point.RCPT, ()),))) as here, sweeping(here) as sessions:
        guests = [await _waits_for_the_backend(here) for _ in range(2)]
        sessions.update(guest.session for guest in guests)
        with monkeypatch.context() as patched:
            first = guests[0].session
            patched.setattr(Session, "_watch", lambda self, now: broken() if self is first else None)
            await here.pass_time(INTERVAL)
        assert [one.code for one in await guests[0].client.hear(2)] == [250, 421]
        assert (first.over, guests[1].session.over) == (True, False)
        assert here.journal.one(Event.CRASH)["where"] == "session"


async def test_a_bug_in_a_pool_ends_nothing(mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with stage() as here, sweeping(here):
        with monkeypatch.context() as patched:
            patched.setattr(Pool, "tend", broken)
            await here.pass_time(INTERVAL)
        assert here.journal.one(Event.CRASH)["where"] == "backend backend"
        await here.pass_time(INTERVAL)
        assert (await here.mail(LETTER)).code == 250


async def test_a_bell_brings_a_place_between_two_rounds(mock_clock: MockClock) -> None:
    bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    async with stage(places=1) as here, trio.open_nursery() as nursery:
        nursery.start_soon(answer, bell, (here.pool,))
        assert here.server.places.take(trio.current_time())  # as another worker does
        guest = await here.enter()
        await guest.says_hello()
        await guest.client.say(ENVELOPE)
        await until(lambda: here.pool.waiting == 1)
        here.server.places.give()
        for _ in range(2):  # once is as good as twice
            os.eventfd_write(bell, 1)
        assert [one.code for one in await guest.client.hear(2)] == [250, 250]
        nursery.cancel_scope.cancel()
    os.close(bell)
