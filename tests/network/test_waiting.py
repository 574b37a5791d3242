"""What a session waits on, and what wakes it."""

import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from smtproxy.network.link import Link
from smtproxy.network.waiting import Waiting
from smtproxy.session.events import BackendClosed, ClientClosed, Recall, Shutdown, Timeout


def test_what_interrupts_comes_before_what_can_wait() -> None:
    waiting = Waiting()
    assert waiting.take() is None
    waiting.wish(Recall())
    waiting.wish(Recall())
    waiting.wake(ClientClosed())
    assert waiting.called
    assert [waiting.take() for _ in range(3)] == [ClientClosed(), Recall(), None]


def test_events_of_a_kind_are_pulled_past_others_or_forgotten() -> None:
    waiting = Waiting()
    for event in (BackendClosed(), Shutdown(), BackendClosed("again")):
        waiting.wake(event)
    assert waiting.holds((BackendClosed,))
    assert waiting.pull((Shutdown,)) == Shutdown()
    assert waiting.pull((Shutdown,)) is None
    waiting.forget((BackendClosed,))
    assert not waiting.holds((BackendClosed,))
    assert waiting.take() is None


async def test_a_session_that_waits_for_its_peer_is_woken() -> None:
    here, there = socket.socketpair()
    here.setblocking(False)
    link, waiting = Link(here), Waiting()
    with there:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiting.progress, link)
            await wait_all_tasks_blocked()
            seen = (waiting.parked, waiting.writing)
            waiting.wake(Timeout())
        assert seen == (link, False)
        assert waiting.parked is None
        while link.write(bytes(65536)):
            pass
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiting.writable, link, 7.0)
            await wait_all_tasks_blocked()
            until = (waiting.due, waiting.writing)
            waiting.unpark()
        assert until == (7.0, True)
        assert not waiting.writing
        link.close()


async def test_a_session_that_waits_for_its_turn_is_woken() -> None:
    waiting, arrived = Waiting(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiting.arrival, arrived, 7.0)
        await wait_all_tasks_blocked()
        parked = waiting.parked
        waiting.unpark()
    assert parked is arrived
    assert waiting.parked is None


@pytest.mark.parametrize("wished", [True, False])
async def test_a_delay_ends_by_itself_or_by_a_call(autojump_clock: trio.testing.MockClock, wished: bool) -> None:
    waiting, began = Waiting(), autojump_clock.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiting.mail, trio.current_time() + 5)
        await wait_all_tasks_blocked()
        if wished:
            waiting.wish(Recall())
            waiting.unpark()
    assert waiting.take() == (Recall() if wished else Timeout())
    assert autojump_clock.current_time() - began == (0 if wished else 5)


async def test_a_long_delay_has_the_sweeper_end_all_but_its_last_seconds(mock_clock: trio.testing.MockClock) -> None:
    waiting, began = Waiting(), mock_clock.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiting.mail, began + 30)
        await wait_all_tasks_blocked()
        assert waiting.due == began + 28
        mock_clock.jump(28.5)
        waiting.wake(Timeout())
        await wait_all_tasks_blocked()
        assert (waiting.due, waiting.called) == (began + 30, False)
        mock_clock.jump(1.5)
    assert waiting.take() == Timeout()
    assert waiting.take() is None
    assert waiting.parked is None


async def test_what_ends_a_long_delay_early_is_no_timeout(mock_clock: trio.testing.MockClock) -> None:
    waiting = Waiting()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiting.mail, trio.current_time() + 30)
        await wait_all_tasks_blocked()
        waiting.wake(Timeout())
        waiting.wake(ClientClosed("lost"))
        waiting.unpark()
    assert waiting.take() == ClientClosed("lost")
    assert waiting.take() is None


async def test_a_cancelled_delay_is_parked_on_nothing() -> None:
    waiting = Waiting()
    with trio.move_on_after(0) as scope:
        await waiting.mail(trio.current_time() + 30)
    assert scope.cancelled_caught
    assert waiting.parked is None
