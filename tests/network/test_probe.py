"""Probes: what a server says of itself, how it is found to be down, and when it is asked again."""

import contextlib
import socket
from collections.abc import AsyncIterator
from typing import NoReturn

import pytest
import trio
from trio.testing import MockClock

from smtproxy.network.pool import FIRST_PAUSE, LONGEST_PAUSE, Place, Server
from smtproxy.network.probe import AGAIN, INTERVAL, probe, watch
from smtproxy.network.sockets import Endpoint
from smtproxy.sample.profiles import HELO_ONLY, POSTFIX
from smtproxy.sample.script import Close, Point, Reset, Rule, Script, Step, reply
from smtproxy.session.limits import LIMITS
from smtproxy.session.records import Event
from tests.network.stage import ENVELOPE, Stage, deserted, quiet, stage, until

HOSTNAME = "mx.example.org"


def first(point: Point, *steps: Step) -> Script:
    """A server that does this on its first connection."""
    return Script((Rule(point, steps, connections=(1,)),))


async def ask(here: Stage) -> None:
    """Probe the first server once."""
    await probe(here.pool, here.server, HOSTNAME, LIMITS)


def known(here: Stage) -> Server:
    """What is known of the first server by now."""
    return here.pool.servers[0]


async def test_a_server_that_is_well(mock_clock: MockClock) -> None:
    async with stage(profile=POSTFIX) as here:
        here.server.address = here.pool.offered = None
        here.pool.failed(here.server, "closed")
        await ask(here)
        line = here.journal.one(Event.BACKEND_UP)
        assert line["keywords"] == [one.partition(" ")[0] for one in POSTFIX.ehlo or ()]
        assert line["banner"] == "mx1.example.org ESMTP Postfix"
        now = known(here)
        assert (now.down, now.extended, now.open) == (False, True, 0)
        assert now.address == (socket.AF_INET, (now.endpoint.host, now.endpoint.port))
        assert now.capabilities is not None
        assert now.capabilities.size == 10_240_000
        assert here.service.pool.offered is not None
        await until(lambda: bool(here.record.connections[0].ended))
        assert here.record.connections[0].commands == [b"EHLO mx.example.org", b"QUIT"]
        assert here.record.violations == []


async def test_a_server_that_knows_no_ehlo(mock_clock: MockClock) -> None:
    async with stage(profile=HELO_ONLY) as here:
        await ask(here)
        assert here.journal.one(Event.BACKEND_UP)["keywords"] == []
        # It says so, and goes on: sessions may ask it in the same way.
        assert here.server.extended


async def test_a_server_that_hangs_up_on_ehlo_is_asked_with_helo(mock_clock: MockClock) -> None:
    async with stage(Script((Rule(Point.EHLO, (Close(),)),))) as here:
        for _ in range(2):
            await ask(here)
            assert (here.server.down, here.server.extended) == (False, False)
        assert len(here.journal.of(Event.BACKEND_UP)) == 1
        assert [one.verbs[0] for one in here.record.connections] == ["EHLO", "HELO", "EHLO", "HELO"]
        assert (await here.mail()).code == 250
        assert here.record.connections[-1].verbs[0] == "HELO"


async def test_a_server_that_hung_up_on_ehlo_once_is_not_old_for_ever(mock_clock: MockClock) -> None:
    """It was being restarted, say. Else all extensions would be withheld until the proxy is started anew."""
    async with stage(first(Point.EHLO, Close())) as here:
        understood = []
        for _ in range(2):
            await ask(here)
            now = known(here)
            understood.append((now.extended, now.capabilities is not None and now.capabilities.has("PIPELINING")))
        assert understood == [(False, False), (True, True)]


@pytest.mark.parametrize(
    ("script", "reason", "said"),
    [
        (first(Point.CONNECT, Close()), "closed", ""),
        (first(Point.CONNECT, Reset()), "Connection reset by peer", ""),
        (first(Point.GREETING, reply("554 5.3.2 no")), "greeting refused", "554 5.3.2 no"),
        (first(Point.GREETING, reply("421 4.3.2 too many")), "full", "421 4.3.2 too many"),
        (first(Point.GREETING, reply("HTTP/1.1 400 Bad Request")), "a line that is no reply", ""),
        (first(Point.EHLO, reply("554 5.7.1 you again")), "EHLO refused", "554 5.7.1 you again"),
        (first(Point.EHLO, reply("421 4.3.2 bye")), "full", "421 4.3.2 bye"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
async def test_a_server_that_is_of_no_use_is_down(
    mock_clock: MockClock, script: Script, reason: str, said: str
) -> None:
    async with stage(script) as here:
        await ask(here)
        line = here.journal.one(Event.BACKEND_DOWN)
        assert (line["reason"], line["reply"], line["retry"]) == (reason, said, FIRST_PAUSE)
        assert (here.server.down, here.server.open) == (True, 0)
        await ask(here)
        assert not here.server.down
        assert len(here.journal.of(Event.BACKEND_UP)) == 1


async def test_a_server_that_is_not_there_is_down(mock_clock: MockClock) -> None:
    async with stage(deserted()) as here:
        await ask(here)
        assert here.journal.one(Event.BACKEND_DOWN)["reason"] == "Connection refused"


class _NoNames(trio.abc.HostnameResolver):
    """Knows no name."""

    async def getaddrinfo(self, *_args: object, **_more: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def getnameinfo(self, *_args: object) -> NoReturn:
        raise AssertionError("no name is asked for an address")


async def test_a_name_that_nobody_knows_is_down(mock_clock: MockClock) -> None:
    trio.socket.set_custom_hostname_resolver(_NoNames())
    async with stage(Endpoint("mail.example", 25)) as here:
        await ask(here)
        assert here.journal.one(Event.BACKEND_DOWN)["reason"] == "Name or service not known"


async def test_a_server_that_says_nothing_is_down_after_a_while(mock_clock: MockClock) -> None:
    async with stage(first(Point.GREETING)) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, here)
            await here.pass_time(3 * LIMITS.connect_time - 0.1)
            assert not here.server.down
            await here.pass_time(0.1)
            await until(lambda: here.server.down)
        assert here.journal.one(Event.BACKEND_DOWN)["reason"] == "timeout"


async def test_a_server_that_refuses_one_more_is_full_not_down(mock_clock: MockClock) -> None:
    async with stage(Script((Rule(Point.GREETING, (reply("421 4.3.2 too many"),), connections=(2,)),))) as here:
        guest = await here.enter()
        await guest.begins()
        await ask(here)
        assert not here.server.down
        assert here.journal.one(Event.BACKEND_FULL)["ceiling"] == here.server.ceiling == 1


async def test_a_server_in_full_use_needs_no_probe(mock_clock: MockClock) -> None:
    async with stage(places=1) as here:
        guest = await here.enter()
        await guest.begins()
        await ask(here)
        assert here.record.opened == 1
        assert here.journal.lines == []


async def test_a_server_that_others_use_in_full_is_asked_as_soon_as_there_is_a_place(mock_clock: MockClock) -> None:
    """Other workers have all places, and this one cannot serve anybody before it knows what the server offers."""
    async with stage(places=1) as here:
        assert here.server.places.take(trio.current_time())
        async with watching(here) as probed:
            await here.pass_time(10 * AGAIN)
            assert not probed.is_set()
            assert here.server.asked_at > 0
            here.server.places.give()
            await here.pass_time(AGAIN)
            await until(probed.is_set)
        assert (here.record.opened, here.server.asked_at) == (1, 0.0)


@contextlib.asynccontextmanager
async def watching(here: Stage) -> AsyncIterator[trio.Event]:
    """Watch the first server beside the block."""
    probed = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, here.pool, here.server, HOSTNAME, LIMITS, probed)
        yield probed
        nursery.cancel_scope.cancel()


async def test_a_server_that_is_well_is_asked_once_a_minute(mock_clock: MockClock) -> None:
    async with stage() as here, watching(here) as probed:
        await probed.wait()
        for number in (1, 2, 3):
            await here.pass_time(INTERVAL - 0.1)
            assert here.record.opened == number
            await here.pass_time(0.1)
            await until(lambda number=number: here.record.opened == number + 1)  # type: ignore[misc]


async def test_a_server_that_a_session_found_down_is_asked_at_once(mock_clock: MockClock) -> None:
    async with stage() as here, watching(here) as probed:
        await probed.wait()
        here.pool.failed(here.server, "closed")
        await until(lambda: not here.server.down)
        assert here.record.opened == 2
        await quiet()
        assert here.record.opened == 2


async def test_pauses_grow_while_a_server_is_down(mock_clock: MockClock) -> None:
    async with stage(Script((Rule(Point.GREETING, (reply("554 5.3.2 no"), Close())),))) as here:
        async with watching(here) as probed:
            await probed.wait()
            pauses = [1.0, 2.0, 4.0, 8.0, LONGEST_PAUSE, LONGEST_PAUSE]
            for number, pause in enumerate(pauses, start=1):
                await here.pass_time(pause - 0.1)
                assert here.record.opened == number
                await here.pass_time(0.1)
                await until(lambda number=number: here.record.opened == number + 1)  # type: ignore[misc]
        assert len(here.journal.of(Event.BACKEND_DOWN)) == 1


async def test_clients_are_turned_away_while_all_probes_fail(mock_clock: MockClock) -> None:
    """421 in place of the banner: they try the next MX. Those who are in already hear 451 at their recipients."""
    gone = Script((Rule(Point.GREETING, (reply("554 5.3.2 no"), Close()), connections=(1, 2)),))
    async with stage(gone) as here:
        inside = await here.enter()
        await inside.says_hello()
        await ask(here)
        assert (known(here).down, known(here).lost) == (True, True)
        outside = await here.enter()
        (turned_away,) = await outside.client.hear_the_end()
        assert (turned_away.code, turned_away.text[:6]) == (421, "4.3.2 ")
        assert await inside.codes(ENVELOPE, 2) == [250, 451]
        await ask(here)
        assert not known(here).lost
        assert (await here.mail()).code == 250


async def test_a_session_that_finds_the_server_down_turns_nobody_away(mock_clock: MockClock) -> None:
    async with stage(Script((Rule(Point.GREETING, (reply("554 5.3.2 no"), Close()), connections=(1,)),))) as here:
        inside = await here.enter()
        await inside.says_hello()
        assert await inside.codes(ENVELOPE, 2) == [250, 451]
        assert (known(here).down, known(here).lost) == (True, False)
        assert (await here.mail()).code == 250


async def test_a_probe_that_is_cancelled_gives_its_place_back(mock_clock: MockClock) -> None:
    async with stage(first(Point.GREETING)) as here:
        async with watching(here):
            await until(lambda: here.server.open == 1)
        assert here.server.open == 0
        place = here.pool.take_for_probe(here.server)
        assert isinstance(place, Place)
        here.pool.give_back(place)
