"""Delayed sessions over sockets: how many there may be, and that each gives its place back whatever ends it."""

from dataclasses import replace

import pytest
from trio.testing import MockClock

from smtproxy.policy.checks import hello
from smtproxy.policy.findings import Action
from smtproxy.policy.judge import Check, Policy
from smtproxy.session.records import Event
from smtproxy.session.tarpit import PaceFor, TarpitSettings
from tests.network.stage import ENVELOPE, HELLO, LETTER, SETTINGS, Guest, Stage, quiet, stage

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


_PACE = TarpitSettings(pace=1000, pace_for=PaceFor.ALL)
_LONG = LETTER + b"0123456789abcdef\r\n" * 2000


async def test_a_paced_client_is_not_read_meanwhile_and_nobody_waits_for_it(mock_clock: MockClock) -> None:
    async with stage(tarpit=_PACE) as here:
        slow = await here.enter()
        await slow.begins()
        await slow.client.say(_LONG + b".\r\n")
        await quiet()
        assert (slow.session._relay.dialogue.octets_in - len(HELLO + ENVELOPE + b"DATA\r\n"), here.delayed) == (2000, 1)
        assert slow.session._backend.link is None
        for second in range(1, 4):
            here.sweep()
            await here.pass_time(1.0)
            taken = slow.session._relay.dialogue.octets_in - len(HELLO + ENVELOPE + b"DATA\r\n")
            assert taken == 2000 + 1000 * second
        assert (await here.mail()).code == 250
        assert slow.client._octets == b""
        for _ in range(len(_LONG) // 1000 - 3):
            assert not here.journal.of(Event.COMMIT)[1:]
            await here.pass_time(1.0)
        assert [one.code for one in await slow.client.hear(1)] == [250]
        assert _LONG in here.record.accepted[-1].wire
        await slow.quits()
        await here.over(slow)


async def test_no_octet_of_a_paced_body_waits_longer_than_half_of_commit_by(mock_clock: MockClock) -> None:
    """All of it lies in the kernel, its dot too: its sender's timer is running."""
    async with stage(settings=replace(SETTINGS, commit_by=20.0), tarpit=_PACE) as here:
        slow = await here.enter()
        await slow.begins()
        await slow.client.say(_LONG + b".\r\n")
        for _ in range(9):
            await here.pass_time(1.0)
        assert slow.client._octets == b""
        assert here.delayed == 1
        await here.pass_time(1.0)
        assert [one.code for one in await slow.client.hear(1)] == [250]


async def test_a_client_that_vanishes_in_a_pause_is_noticed_and_makes_room(mock_clock: MockClock) -> None:
    async with stage(tarpit=_PACE) as here:
        slow = await here.enter()
        await slow.begins()
        await slow.client.say(_LONG + b".\r\n")
        await quiet()
        await slow.client.leave("reset")
        await here.swept(lambda: slow.ended)
        assert here.delayed == 0
        assert not here.journal.of(Event.COMMIT)


async def test_only_a_client_with_findings_is_paced(mock_clock: MockClock) -> None:
    async with stage(policy=_TARPIT, tarpit=TarpitSettings(pace=1000)) as here:
        assert (await here.mail(_LONG)).code == 250
        forger = await _forges(here)
        await here.pass_time(5.0)
        await forger.client.hear(1)
        await forger.client.say(ENVELOPE)
        await here.pass_time(5.0)
        assert await forger.codes(b"DATA\r\n", 3) == [250, 250, 354]
        await forger.client.say(_LONG + b".\r\n")
        for _ in range(len(_LONG) // 1000):
            await quiet()
            assert (forger.client._octets, here.delayed) == (b"", 1)
            await here.pass_time(1.0)
        assert [one.code for one in await forger.client.hear(1)] == [250]
