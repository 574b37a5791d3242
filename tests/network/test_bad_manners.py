"""Clients over real sockets that do too little, too slowly, or leave: at every point of a dialogue, in every way.

On a clock that jumps: what takes a client minutes takes the test milliseconds.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import trio

from smtproxy.session.limits import LIMITS
from smtproxy.session.records import Event
from smtproxy.session.settings import BodyMode
from tests.fakes.heard import Heard
from tests.network.survival import ENVELOPE, HELLO, SETTINGS, survives, survives_all
from tests.network.world import Client, World, connected, settled, until

HURRIED = replace(SETTINGS, limits=replace(LIMITS, command_time=20, body_time=20, body_rate=10, send_time=20))
BODY = b"Subject: x\r\n\r\ntext\r\n"


@dataclass(frozen=True, slots=True)
class Point:
    """How far a client goes before it leaves: what it says, one write after the other, and how much it hears."""

    writes: tuple[tuple[bytes, int], ...]
    outcomes: tuple[str, ...] = ()
    """What may become of its transaction; none: there is none."""


_BEGUN = ((HELLO, 1), (ENVELOPE, 2))
POINTS = {
    "at once": Point(()),
    "in a command": Point(((b"EHL", 0),)),
    "behind a hello": Point(((HELLO, 1),)),
    "without waiting for an answer": Point(((HELLO + ENVELOPE, 0),), ("aborted",)),
    "behind MAIL": Point(((HELLO, 1), (b"MAIL FROM:<a@client.example>\r\n", 1)), ("aborted",)),
    "behind RCPT": Point(_BEGUN, ("aborted",)),
    "in DATA": Point((*_BEGUN, (b"DAT", 0)), ("aborted",)),
    "behind the 354": Point((*_BEGUN, (b"DATA\r\n", 1)), ("aborted",)),
    "in the header": Point((*_BEGUN, (b"DATA\r\n", 1), (b"Subj", 0)), ("aborted",)),
    "in the body": Point((*_BEGUN, (b"DATA\r\n", 1), (BODY, 0)), ("aborted",)),
    "in the terminator": Point((*_BEGUN, (b"DATA\r\n", 1), (BODY + b".\r", 0)), ("aborted",)),
    "behind the dot": Point((*_BEGUN, (b"DATA\r\n", 1), (BODY + b".\r\n", 0)), ("aborted", "delivered")),
    "behind the answer": Point((*_BEGUN, (b"DATA\r\n", 1), (BODY + b".\r\n", 1)), ("delivered",)),
}


@pytest.mark.parametrize("mode", BodyMode)
@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("name", POINTS)
def test_leaving(name: str, how: str, mode: BodyMode) -> None:
    point = POINTS[name]

    async def bad(client: Client) -> Sequence[Heard]:
        heard: list[Heard] = []
        for octets, answers in point.writes:
            await client.say(octets)
            heard += await client.hear(answers)
        await client.leave(how)
        return heard

    place = survives(bad, replace(SETTINGS, body=mode))
    first = place.pages.of(Event.SESSION)[0]
    assert (first["ended"], first["by"]) in {("closed", "client"), ("reset", "client"), ("lost", "client")}
    outcomes = [message["outcome"] for message in place.pages.of(Event.MESSAGE)[:-1]]
    assert len(outcomes) <= bool(point.outcomes)
    assert set(outcomes) <= set(point.outcomes)


@pytest.mark.parametrize("name", POINTS)
def test_half_closing(name: str) -> None:
    """FIN, but the client listens: what it said is answered, and what was not finished is not."""
    point = POINTS[name]

    async def bad(client: Client) -> Sequence[Heard]:
        for octets, _ in point.writes:
            await client.say(octets)
            await trio.sleep(1)
        await client.stream.send_eof()
        heard = await client.hear_the_end()
        assert len(heard) >= sum(answers for _, answers in point.writes)
        return heard

    survives(bad)


@pytest.mark.parametrize("name", POINTS)
def test_falling_silent(name: str) -> None:
    """Half-open connections, and clients that think for ever: 421, at every point."""
    point = POINTS[name]

    async def bad(client: Client) -> Sequence[Heard]:
        for octets, answers in point.writes:
            await client.say(octets)
            await client.hear(answers)
        if name == "without waiting for an answer":
            await client.hear(3)
        if name == "behind the dot":
            await client.hear(1)
        heard = await client.hear_the_end()
        assert [reply.code for reply in heard] == [421]
        return heard

    place = survives(bad, HURRIED)
    assert place.pages.of(Event.SESSION)[0]["ended"] == "timeout"
    assert [message["outcome"] for message in place.pages.of(Event.MESSAGE)[:-1]] in ([], ["deferred"], ["delivered"])


@pytest.mark.parametrize("mode", BodyMode)
@pytest.mark.parametrize("before", [0, 2], ids=["command", "body"])
def test_one_octet_a_second(before: int, mode: BodyMode) -> None:
    async def bad(client: Client) -> Sequence[Heard]:
        for octets, answers in ((HELLO, 1), (ENVELOPE + b"DATA\r\n", 3))[:before]:
            await client.say(octets)
            await client.hear(answers)
        for _ in range(60):
            await client.say(b"N")
            await trio.sleep(1)
        heard = await client.hear_the_end()
        assert [reply.code for reply in heard] == [421]
        return heard

    place = survives(bad, replace(HURRIED, body=mode))
    assert place.pages.of(Event.SESSION)[0]["ended"] == "timeout"
    assert place.record.terminators == 1  # the honest mail's


def test_never_reading_the_answers() -> None:
    """A client that asks for ever and takes no answer: the write that does not end is the end of it."""
    patient = replace(
        HURRIED, limits=replace(HURRIED.limits, commands=1_000_000, junk_commands=1_000_000, command_time=10_000)
    )

    async def act(place: World) -> None:
        async with connected(place) as client, trio.open_nursery() as nursery:
            nursery.start_soon(client.say, HELLO * 200_000)
            await until(lambda: bool(place.pages.of(Event.SESSION)))
            nursery.cancel_scope.cancel()

    place = survives_all(act, patient)
    first = place.pages.of(Event.SESSION)[0]
    assert (first["ended"], first["by"]) == ("timeout", "client")


def test_hundreds_that_come_and_go() -> None:
    async def act(place: World) -> None:
        for number in range(300):
            stream = await trio.open_tcp_stream(place.address.host, place.address.port)
            await Client(stream).leave("reset" if number % 2 else "closed")
        await settled(place)

    place = survives_all(act)
    assert len(place.pages.of(Event.SESSION)) <= 301


def test_more_clients_than_there_may_be() -> None:
    """They wait in the kernel's queue, the log says so, and come in as others leave."""

    async def act(place: World) -> None:
        async with contextlib.AsyncExitStack() as crowd:
            for _ in range(100):
                await crowd.enter_async_context(connected(place))
            late = Client(await trio.open_tcp_stream(place.address.host, place.address.port))
            await until(lambda: bool(place.pages.of(Event.ACCEPT_PAUSED)))
            assert place.pages.of(Event.ACCEPT_RESUMED) == []
        await late.say(b"QUIT\r\n")
        assert [reply.code for reply in await late.hear_the_end()] == [220, 221]
        await late.leave("closed")
        assert len(place.pages.of(Event.ACCEPT_RESUMED)) == len(place.pages.of(Event.ACCEPT_PAUSED)) == 1

    survives_all(act)
