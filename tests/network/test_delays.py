"""Delayed sessions over sockets: how many there may be, and that each gives its place back whatever ends it."""

import pytest
from trio.testing import MockClock

from smtproxy.policy.checks import hello
from smtproxy.policy.findings import Action
from smtproxy.policy.judge import Check, Policy
from smtproxy.session.records import Event
from smtproxy.session.tarpit import TarpitSettings
from tests.network.stage import Guest, Stage, quiet, stage

_TARPIT = Policy((Check(hello.check(hello.HelloOptions()), hello.HelloOptions(), Action.TARPIT),))
_FORGED = b"EHLO no_such;name\r\n"
_ONE_EACH = TarpitSettings(max_per_client=1)


async def _forges(here: Stage) -> Guest:
    guest = await here.enter()
    await guest.client.hear(1)
    await guest.client.say(_FORGED)
    await quiet()
    return guest


async def test_the_second_session_of_a_client_is_answered_at_once(mock_clock: MockClock) -> None:
    async with stage(policy=_TARPIT, tarpit=_ONE_EACH) as here:
        sleeper = await _forges(here)
        hurried = await _forges(here)
        assert [one.code for one in await hurried.client.hear(1)] == [250]
        assert sleeper.client._octets == b""
        await hurried.quits()
        await here.over(hurried)
        assert here.journal.one(Event.SESSION)["delays_left_out"] == {"max_per_client": 1}
        await here.pass_time(5.0)
        assert [one.code for one in await sleeper.client.hear(1)] == [250]
        await sleeper.quits()
        await here.over(sleeper)
        assert "delays_left_out" not in here.journal.of(Event.SESSION)[1]


async def test_all_clients_together_have_a_bound(mock_clock: MockClock) -> None:
    async with stage(policy=_TARPIT, tarpit=TarpitSettings(max_total=2)) as here:
        for _ in range(2):
            await _forges(here)
        hurried = await _forges(here)
        assert [one.code for one in await hurried.client.hear(1)] == [250]


@pytest.mark.parametrize("end", ["its time", "closed", "reset", "drain and its time", "cut off", "cancelled"])
async def test_whatever_ends_a_delay_the_next_one_is_delayed_again(mock_clock: MockClock, end: str) -> None:
    """Given back twice, the place would raise; not at all, and the last client would be answered at once."""
    async with stage(policy=_TARPIT, tarpit=_ONE_EACH) as here:
        first = await _forges(here)
        match end:
            case "its time":
                await here.pass_time(5.0)
            case "drain and its time":
                first.session.shut_down()
                await here.pass_time(5.0)
                assert [one.code for one in await first.client.hear_the_end()] == [250, 421]
            case "cut off":
                first.session.cut_off()
                assert [one.code for one in await first.client.hear_the_end()] == [421]
            case "cancelled":
                first.scope.cancel()
                await here.over(first)
            case _:
                await first.client.leave(end)
                await here.swept(lambda: first.ended)
        assert here.delayed == 0
        second = await _forges(here)
        assert (here.delayed, second.client._octets) == (1, b"")
