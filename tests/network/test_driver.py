"""The session driver on real sockets: who vanishes, blocks, speaks out of turn or crashes, and what comes of it.

`Stage` has no sweeper and no clock of its own: each test says when somebody looks, and how much time has passed.
"""

import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace

import pytest
import trio
from trio.testing import MockClock

from smtproxy.network.link import Link
from smtproxy.network.pool import RECALL_AFTER, Pool
from smtproxy.network.sockets import Endpoint, bound, connected, listen, prepare
from smtproxy.policy.checks import hello
from smtproxy.policy.findings import Action
from smtproxy.policy.judge import Check, Policy
from smtproxy.sample.script import (
    Close,
    Idle,
    Normal,
    Pause,
    Point,
    Rule,
    Script,
    Silence,
    Step,
    StopReading,
    reply,
)
from smtproxy.session import events
from smtproxy.session.limits import LIMITS, Limits
from smtproxy.session.records import Event
from smtproxy.session.relay import Relay
from smtproxy.session.settings import BodyMode, OpenMode, RelaySettings
from tests.fakes.journal import FakeJournal, broken
from tests.network.stage import (
    ENVELOPE,
    HELLO,
    LETTER,
    SETTINGS,
    Guest,
    Stage,
    deserted,
    no_descriptors_left,
    quiet,
    stage,
    until,
)

STREAM = RelaySettings("mx.example.org", body=BodyMode.STREAM)
HOLD = RelaySettings("mx.example.org", body=BodyMode.HOLD, limits=Limits(body_memory=1000))
ONE_CHUNK = RelaySettings("mx.example.org", body=BodyMode.STREAM, limits=Limits(chunk=1 << 21))
COLLECT = RelaySettings("mx.example.org", commit_by=20.0, limits=Limits(body_memory=1 << 24))
MEGABYTES = b"0123456789abcdef0123456789abcd\r\n" * (1 << 17)
"""Four of them: more than the kernel takes for a reader that reads nothing."""
SLOW_POINTS = (Point.GREETING, Point.EHLO, Point.MAIL, Point.RCPT, Point.DATA)


def never(point: Point) -> Script:
    """A server that does not answer at this point."""
    return Script((Rule(point, ()),))


def at(point: Point, *steps: Step, octets: int = 0) -> Script:
    """A server that does this at one point."""
    return Script((Rule(point, steps, octets=octets),))


@contextlib.asynccontextmanager
async def talking(guest: Guest, octets: bytes) -> AsyncIterator[None]:
    """Let the client say this beside what happens in the block; at its end it may have said all of it, or not."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest.client.say, octets)
        yield
        nursery.cancel_scope.cancel()


# A session in which nothing goes wrong


@pytest.mark.parametrize("body", list(BodyMode), ids=lambda body: body.value)
async def test_a_mail_goes_through(mock_clock: MockClock, body: BodyMode) -> None:
    async with stage(settings=RelaySettings("mx.example.org", body=body)) as here:
        assert (await here.mail()).code == 250
        (delivery,) = here.record.accepted
        assert delivery.body.endswith(b"\r\n" + LETTER)
        assert here.record.violations == []
        assert here.outcomes() == ["delivered"]
        assert here.journal.one(Event.COMMIT)["size"] == len(LETTER)
        line = here.journal.one(Event.SESSION)
        assert (line["ended"], line["by"], line["commands"], line["backend_connections"]) == ("quit", "client", 5, 1)


async def test_a_body_that_was_on_disk(mock_clock: MockClock) -> None:
    async with stage(settings=HOLD) as here:
        letter = LETTER + MEGABYTES[: 1 << 20]
        assert (await here.mail(letter)).code == 250
        assert here.record.accepted[0].body.endswith(b"\r\n" + letter)


@pytest.mark.parametrize("body", list(BodyMode), ids=lambda body: body.value)
async def test_everything_in_one_packet_with_its_end(mock_clock: MockClock, body: BodyMode) -> None:
    """`printf ... | nc`: a whole session, and nobody waits for any reply."""
    async with stage(settings=RelaySettings("mx.example.org", body=body)) as here:
        guest = await here.enter()
        await guest.client.say(b"EHLO client.example\r\n" + ENVELOPE + b"DATA\r\n" + LETTER + b".\r\nQUIT\r\n")
        await guest.client.stream.send_eof()
        assert [one.code for one in await guest.client.hear_the_end()] == [220, 250, 250, 250, 354, 250, 221]
        await here.over(guest)
        assert here.outcomes() == ["delivered"]


@pytest.mark.parametrize("slow", [Point.DATA, Point.FINAL])
async def test_final_dot_quit_and_end_in_one_packet(mock_clock: MockClock, slow: Point) -> None:
    async with stage(at(slow, Pause(30.0), Normal())) as here:
        guest = await here.enter()
        await guest.begins()
        await guest.client.say(LETTER + b".\r\nQUIT\r\n")
        await guest.client.stream.send_eof()
        await quiet()
        for _ in range(30):
            await here.pass_time(1.0)
            here.sweep()
        assert [one.code for one in await guest.client.hear_the_end()] == [250, 221]
        assert here.outcomes() == ["delivered"]


@pytest.mark.parametrize("unread", [False, True], ids=["in one packet", "while the backend is awaited"])
@pytest.mark.parametrize("slow", [Point.GREETING, Point.RCPT, Point.CHUNK, Point.FINAL])
async def test_last_chunk_quit_and_end_before_any_reply(mock_clock: MockClock, slow: Point, unread: bool) -> None:
    """Exim does so. It was taken for gone: its end was seen, and what it had sent before it was not."""
    settings = RelaySettings("mx.example.org", limits=Limits(chunk_end=4))
    async with stage(at(slow, Pause(30.0), Normal()), settings=settings) as here:
        guest = await here.enter()
        await guest.says_hello()
        rest = b"BDAT %d LAST\r\n" % len(LETTER) + LETTER + b"QUIT\r\n"
        await guest.client.say(ENVELOPE + (b"" if unread else rest))
        if unread:
            await quiet()
            await guest.client.say(rest)
        await guest.client.stream.send_eof()
        await quiet()
        for _ in range(30):
            await here.pass_time(1.0)
            here.sweep()
        assert [one.code for one in await guest.client.hear_the_end()] == [250, 250, 250, 221]
        assert here.outcomes() == ["delivered"]


# The client goes away


@pytest.mark.parametrize("how", ["closed", "reset", "half"])
@pytest.mark.parametrize("point", SLOW_POINTS)
async def test_client_that_vanishes_while_the_backend_is_slow_is_noticed(
    mock_clock: MockClock, point: Point, how: str
) -> None:
    async with stage(never(point), settings=STREAM) as here:
        guest = await here.enter()
        await guest.says_hello()
        await guest.client.say(ENVELOPE + b"DATA\r\n")
        await quiet()
        await _leave(guest, how)
        await quiet()
        assert not guest.ended
        await here.swept(lambda: guest.ended)
        assert here.endings() == ["lost"]
        assert here.outcomes() == ["aborted"]
        assert here.record.terminators == 0


async def _leave(guest: Guest, how: str) -> None:
    if how == "half":
        await guest.client.stream.send_eof()
    else:
        await guest.client.leave(how)


@pytest.mark.parametrize("how", ["closed", "reset", "half"])
@pytest.mark.parametrize("body", list(BodyMode), ids=lambda body: body.value)
async def test_client_that_vanishes_inside_its_body(mock_clock: MockClock, body: BodyMode, how: str) -> None:
    async with stage(settings=RelaySettings("mx.example.org", body=body)) as here:
        guest = await here.enter()
        await guest.begins()
        await guest.client.say(LETTER)
        await _leave(guest, how)
        await here.over(guest)
        assert here.outcomes() == ["aborted"]
        await until(lambda: all(one.ended for one in here.record.connections))
        assert here.record.terminators == 0
        assert here.endings() == ["reset" if how == "reset" else "closed"]


async def test_client_that_is_gone_at_the_last_look_gets_no_commit(mock_clock: MockClock) -> None:
    async with stage(at(Point.DATA, Pause(5.0), Normal())) as here:
        guest = await here.enter()
        await guest.begins()
        await guest.client.say(LETTER + b".\r\n")
        await quiet()
        await guest.client.leave("reset")
        await here.pass_time(5.0)
        await here.over(guest)
        assert (here.outcomes(), here.endings()) == (["aborted"], ["lost"])
        assert here.journal.of(Event.COMMIT) == []
        assert here.record.terminators == 0
        assert len(here.record.aborted) == 1


@pytest.mark.parametrize("sweeps", [True, False])
async def test_client_that_is_gone_after_the_commit_changes_nothing_but_who_heard(
    mock_clock: MockClock, sweeps: bool
) -> None:
    async with stage(at(Point.FINAL, Pause(5.0), Normal())) as here:
        guest = await here.enter()
        await guest.begins()
        await guest.client.say(LETTER + b".\r\n")
        await until(lambda: guest.session.committed)
        await guest.client.leave("reset")
        await quiet()
        if sweeps:
            here.sweep()
            await quiet()
        assert not guest.ended
        await here.pass_time(5.0)
        await here.over(guest)
        line = here.journal.one(Event.MESSAGE)
        assert (line["outcome"], line["client_heard"]) == ("delivered", False)


async def test_an_idle_session_is_left_alone_by_the_sweeper(mock_clock: MockClock) -> None:
    async with stage() as here:
        guest = await here.enter()
        await guest.says_hello()
        await here.pass_time(100.0)
        here.sweep()
        await quiet()
        assert (await guest.sends()).code == 250


async def test_being_woken_for_nothing_is_no_event(mock_clock: MockClock) -> None:
    async with stage(at(Point.RCPT, Pause(5.0), Normal())) as here:
        guest = await here.enter()
        await guest.says_hello()
        guest.session._client.wake()
        await quiet()
        await guest.client.say(ENVELOPE)
        await quiet()
        assert guest.session._backend.link is not None
        guest.session._backend.link.wake()
        await here.pass_time(5.0)
        assert [one.code for one in await guest.client.hear(2)] == [250, 250]


# Deadlines


async def test_a_client_that_says_nothing(mock_clock: MockClock) -> None:
    async with stage() as here:
        guest = await here.enter()
        await guest.says_hello()
        await here.pass_time(LIMITS.command_time)
        here.sweep()
        assert [one.code for one in await guest.client.hear_the_end()] == [421]
        assert here.endings() == ["timeout"]


async def test_a_backend_that_says_nothing(mock_clock: MockClock) -> None:
    async with stage(never(Point.RCPT)) as here:
        guest = await here.enter()
        await guest.says_hello()
        await guest.client.say(ENVELOPE)
        await quiet()
        await here.pass_time(LIMITS.recipient_time)
        here.sweep()
        (accepted, refused) = await guest.client.hear(2)
        assert (accepted.code, refused.text[:9]) == (250, "4.4.2 Mai")


async def test_only_the_end_of_data_timer_ends_the_wait_behind_the_dot(mock_clock: MockClock) -> None:
    async with stage(at(Point.FINAL, Silence())) as here:
        guest = await here.enter()
        await guest.begins()
        await guest.client.say(LETTER + b".\r\n")
        await until(lambda: guest.session.committed)
        await here.pass_time(599.0)
        here.sweep()
        guest.session.cut_off()
        await quiet()
        assert guest.session.committed
        await here.pass_time(1.0)
        here.sweep()
        assert (await guest.client.hear(1))[0].code == 451
        assert here.outcomes() == ["unknown"]


async def test_a_lease_ends_and_the_envelope_is_replayed(mock_clock: MockClock) -> None:
    async with stage() as here:
        guest = await here.enter()
        await guest.says_hello()
        assert await guest.codes(ENVELOPE, 2) == [250, 250]
        assert here.server.open == 1
        await here.pass_time(here.service.settings.lease)
        await here.swept(lambda: here.server.open == 0)
        assert await guest.codes(b"DATA\r\n") == [354]
        assert await guest.codes(LETTER + b".\r\n") == [250]
        line = here.journal.one(Event.MESSAGE)
        assert (line["replays"], here.record.opened) == (1, 2)


async def test_a_delay_ends_without_the_sweeper(mock_clock: MockClock) -> None:
    async with stage(policy=_TARPIT) as here:
        guest = await here.enter()
        await guest.client.hear(1)
        await guest.client.say(b"EHLO no_such;name\r\n")
        await here.pass_time(4.9)
        guest.session.shut_down()
        await quiet()
        assert guest.client._octets == b""
        await here.pass_time(0.1)
        assert [one.code for one in await guest.client.hear_the_end()] == [250, 421]


async def test_client_that_vanishes_in_a_delay_is_noticed(mock_clock: MockClock) -> None:
    async with stage(policy=_TARPIT) as here:
        guest = await here.enter()
        await guest.client.hear(1)
        await guest.client.say(b"EHLO no_such;name\r\n")
        await quiet()
        await guest.client.leave("closed")
        await here.swept(lambda: guest.ended)
        assert here.endings() == ["lost"]


_TARPIT = Policy((Check(hello.check(hello.HelloOptions()), hello.HelloOptions(), Action.TARPIT),))


# A client that does not read


async def _stuffed(here: Stage) -> Guest:
    """A client that asks for more than it reads: its session cannot answer any more."""
    guest = await here.enter()
    await guest.client.hear(1)
    guest.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    await guest.client.say(b"EHLO client.example\r\n" * 3000)
    await until(lambda: guest.session._waiting.writing)
    return guest


async def test_client_that_reads_at_last_misses_nothing(mock_clock: MockClock) -> None:
    async with stage() as here:
        guest = await _stuffed(here)
        assert {one.code for one in await guest.client.hear(3000)} == {250}
        assert (await guest.sends()).code == 250


async def test_client_that_does_not_read_is_given_up(mock_clock: MockClock) -> None:
    async with stage() as here:
        guest = await _stuffed(here)
        await here.pass_time(LIMITS.send_time - 1)
        here.sweep()
        await quiet()
        assert not guest.ended
        await here.pass_time(1.0)
        await here.swept(lambda: guest.ended)
        assert here.endings() == ["timeout"]


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_client_that_does_not_read_and_vanishes(mock_clock: MockClock, how: str) -> None:
    async with stage() as here:
        guest = await _stuffed(here)
        await guest.client.leave(how)
        await here.swept(lambda: guest.ended)
        assert here.endings()[0] in {"lost", "reset"}


async def test_client_that_does_not_read_holds_no_place_beyond_its_lease(mock_clock: MockClock) -> None:
    """Sixteen of them would have stopped all mail for `send_time`, and then come again."""
    settings = replace(SETTINGS, open=OpenMode.CONNECT)
    async with stage(settings=settings) as here:
        guest = await _stuffed(here)
        assert here.pool.servers[0].open == 1
        await here.pass_time(settings.lease + 1)
        here.sweep()
        assert here.pool.servers[0].open == 0
        assert not guest.ended


async def test_client_that_does_not_read_gives_its_place_to_who_waits(mock_clock: MockClock) -> None:
    async with stage(settings=replace(SETTINGS, open=OpenMode.CONNECT)) as here:
        guest = await _stuffed(here)
        guest.session.recall()
        assert here.pool.servers[0].open == 0
        assert {one.code for one in await guest.client.hear(3000)} == {250}


async def test_the_session_line_does_not_wait_for_the_last_words(mock_clock: MockClock) -> None:
    """A task that was cancelled while they were blocked took the line with it."""
    async with stage() as here:
        guest = await here.enter()
        await guest.client.hear(1)
        guest.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await guest.client.say(HELLO * 2900 + b"QUIT\r\n")
        await until(lambda: guest.session._waiting.writing)
        assert not guest.ended
        assert here.endings() == ["quit"]


async def test_client_that_does_not_read_its_go_ahead_gives_its_place_to_who_waits(mock_clock: MockClock) -> None:
    """A body that streams holds its place by right, but not one that cannot begin: sixteen would stop all mail."""
    settings = replace(SETTINGS, body=BodyMode.STREAM)
    async with stage(settings=settings) as here:
        guest = await here.enter()
        await guest.client.hear(1)
        guest.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await guest.client.say(HELLO * 2500 + ENVELOPE + b"DATA\r\n")
        await until(lambda: guest.session._waiting.writing)
        assert guest.session.streaming
        await here.pass_time(settings.lease - 1)
        guest.session.recall()
        await quiet()
        assert here.pool.servers[0].open == 1
        await here.pass_time(1.0)
        guest.session.recall()
        await here.over(guest)
        assert here.pool.servers[0].open == 0
        assert (here.outcomes(), here.endings()) == (["aborted"], ["timeout"])


async def test_connection_that_spoke_out_of_turn_is_not_kept_warm(mock_clock: MockClock) -> None:
    """Heard while its session was blocked by a client that then left: the next client must not get it. Item 7"""
    talk = Script(
        (
            Rule(
                Point.FINAL,
                (Normal(), Pause(5.0), reply("250 2.0.0 nobody asked")),
            ),
        )
    )
    async with stage(talk, settings=replace(SETTINGS, lease=10_000.0), warm=4) as here:
        guest = await here.enter()
        await guest.says_hello()
        await guest.sends()
        guest.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await guest.client.say(HELLO * 3000)
        await until(lambda: guest.session._waiting.writing)
        await here.pass_time(6.0)
        await here.swept(lambda: bool(guest.session._waiting.mailbox))
        await guest.client.leave("reset")
        await here.swept(lambda: guest.ended)
        assert len(here.pool.warm) == 0


async def test_client_that_does_not_read_is_given_up_whatever_the_backend_does(mock_clock: MockClock) -> None:
    """What the backend does meanwhile waits its turn; it must not keep the deadline from being looked at."""
    idle = Script((Rule(Point.REPLIES, (Idle(30.0), reply("421 4.4.1 idle"), Close()), nth=2),))
    settings = replace(SETTINGS, open=OpenMode.CONNECT, lease=10_000.0)
    async with stage(idle, settings=settings) as here:
        guest = await _stuffed(here)
        await here.pass_time(30.0)
        await here.swept(lambda: bool(guest.session._waiting.mailbox))
        await here.pass_time(LIMITS.send_time)
        await here.swept(lambda: guest.ended)
        assert here.endings() == ["timeout"]


async def test_client_that_does_not_read_cannot_hold_up_the_end(mock_clock: MockClock) -> None:
    async with stage() as here:
        guest = await _stuffed(here)
        guest.session.cut_off()
        await here.swept(lambda: guest.ended)
        assert len(here.endings()) == 1


# A backend that does not read


async def _stalled(here: Stage) -> Guest:
    """A client that may begin its body, and a backend that will read little of it."""
    guest = await here.enter()
    await guest.says_hello()
    assert await guest.codes(ENVELOPE, 2) == [250, 250]
    guest.backend.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    assert await guest.codes(b"DATA\r\n") == [354]
    return guest


async def test_backend_that_does_not_read_is_given_up(mock_clock: MockClock) -> None:
    async with stage(at(Point.DATA, Normal(), StopReading()), settings=STREAM) as here:
        guest = await _stalled(here)
        async with talking(guest, MEGABYTES + b".\r\n"):
            await until(lambda: guest.session._waiting.writing)
            await here.pass_time(LIMITS.transfer_time - 1)
            here.sweep()
            await quiet()
            assert here.server.open == 1
            while here.server.open:
                # Not at the first time: the kernel may still have taken some, and the time begins anew with each block.
                await here.pass_time(LIMITS.transfer_time)
                here.sweep()
            (heard,) = await guest.client.hear(1)
        assert heard.text.startswith("4.3.2 Mail server closed")
        assert here.outcomes() == ["deferred"]
        assert here.record.terminators == 0
        assert await guest.codes(b"NOOP\r\n") == [250]


async def test_backend_that_does_not_read_must_not_make_the_commit_late(mock_clock: MockClock) -> None:
    async with stage(at(Point.DATA, Normal(), StopReading()), settings=COLLECT) as here:
        guest = await _stalled(here)
        async with talking(guest, MEGABYTES + b".\r\n"):
            await until(lambda: guest.session._waiting.writing)
            await here.pass_time(20.0)
            here.sweep()
            (heard,) = await guest.client.hear(1)
        assert heard.text.startswith("4.4.5")
        assert here.record.terminators == 0


@pytest.mark.parametrize(("pause", "code"), [(18.0, 250), (22.0, 451)])
@pytest.mark.parametrize("unread", [False, True], ids=["behind the commands", "in the kernel"])
async def test_commit_by_counts_from_when_the_final_dot_came(
    mock_clock: MockClock, unread: bool, pause: float, code: int
) -> None:
    """Nobody reads the client while the server is slow; the sender's own timer runs from its dot all the same."""
    async with stage(at(Point.RCPT, Pause(pause), Normal()), settings=COLLECT) as here:
        guest = await here.enter()
        await guest.says_hello()
        commands, body = ENVELOPE + b"DATA\r\n", LETTER + b".\r\n"
        for octets in (commands, body) if unread else (commands + body,):
            await guest.client.say(octets)
            await quiet()
        await here.pass_time(pause)
        assert [one.code for one in await guest.client.hear(4)] == [250, 250, 354, code]
        assert len(here.record.accepted) == (code == 250)


async def test_client_that_vanishes_while_the_backend_does_not_read(mock_clock: MockClock) -> None:
    """By a reset: an ordinary end lies behind octets that nobody reads now, and cannot be seen."""
    async with stage(at(Point.DATA, Normal(), StopReading()), settings=STREAM) as here:
        guest = await _stalled(here)
        async with talking(guest, MEGABYTES):
            await until(lambda: guest.session._waiting.writing)
        await guest.client.leave("reset")
        await here.swept(lambda: guest.ended)
        assert (here.outcomes(), here.endings()) == (["aborted"], ["lost"])


@pytest.mark.parametrize("settings", [STREAM, HOLD, COLLECT], ids=lambda one: one.body.value)
async def test_cut_off_while_the_backend_does_not_read(mock_clock: MockClock, settings: RelaySettings) -> None:
    """What stood behind the octets that did not leave must not leave either: least of all the terminator."""
    async with stage(at(Point.DATA, Normal(), StopReading()), settings=settings) as here:
        guest = await _stalled(here)
        async with talking(guest, MEGABYTES + b".\r\n"):
            await until(lambda: guest.session._waiting.writing)
            guest.session.cut_off()
            assert (await guest.client.hear(1))[0].code == 421
        assert here.endings() == ["shutdown"]
        assert here.journal.of(Event.COMMIT) == []
        await until(lambda: here.server.open == 0)
        assert here.record.terminators == 0


async def test_backend_that_speaks_before_it_has_all_of_the_commands_has_answered_none(mock_clock: MockClock) -> None:
    stray = (Normal(), StopReading(), Pause(5.0), reply("250 2.1.0 stray"))
    script = Script((Rule(Point.EHLO, stray, connections=(1,)),))
    async with stage(script, settings=RelaySettings("mx.example.org", open=OpenMode.CONNECT)) as here:
        guest = await here.enter()
        await guest.says_hello()
        _fill(guest)
        await guest.client.say(ENVELOPE)
        await until(lambda: guest.session._waiting.writing)
        await here.pass_time(5.0)
        here.sweep()
        assert [one.code for one in await guest.client.hear(2)] == [451, 503]
        assert (await guest.sends()).code == 250


def _fill(guest: Guest) -> None:
    """Let nothing fit in front of the backend any more."""
    with contextlib.suppress(BlockingIOError):
        while True:
            guest.backend.send(MEGABYTES)
    # What waits is more than this: nothing is taken before most of it has left.
    guest.backend.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


async def _collected(here: Stage) -> Guest:
    """A message that only lacks its final dot."""
    guest = await here.enter()
    await guest.begins()
    await guest.client.say(LETTER)
    await until(lambda: guest.session._relay.dialogue.octets_in > len(LETTER) + len(ENVELOPE))
    await quiet()
    return guest


async def _committing(here: Stage, behind: bytes = b"") -> Guest:
    """A message whose terminator the kernel does not take: nothing fits in front of the backend any more.

    `behind`: what the client sends with its final dot.
    """
    guest = await _collected(here)
    _fill(guest)
    await guest.client.say(b".\r\n" + behind)
    await until(lambda: guest.session.committed and guest.session._waiting.writing)
    return guest


async def _half_committed(here: Stage, monkeypatch: pytest.MonkeyPatch, behind: bytes = b"") -> Guest:
    """The same, but its first octet has left."""
    really = Link.write
    begun: list[Link] = []

    def write(link: Link, octets: bytes | memoryview) -> int:
        if begun or bytes(octets[-3:]) != b".\r\n":
            return really(link, octets)
        begun.append(link)
        taken = really(link, octets[:1])
        _fill(here.guests[0])
        link.can_write = False
        return taken

    guest = await _collected(here)
    monkeypatch.setattr(Link, "write", write)
    await guest.client.say(b".\r\n" + behind)
    await until(lambda: guest.session.committed and guest.session._waiting.writing)
    assert guest.session._left
    return guest


@pytest.mark.parametrize("leaves", [True, False])
async def test_only_the_end_of_data_timer_ends_a_commit_that_is_half_done(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    async with stage(at(Point.DATA, Normal(), StopReading()), settings=STREAM) as here:
        guest = await _half_committed(here, monkeypatch)
        if leaves:
            await guest.client.leave("reset")
            await here.swept(lambda: bool(guest.session._waiting.mailbox))
        await here.pass_time(599.0)
        here.sweep()
        await quiet()
        assert guest.session.committed
        await here.pass_time(1.0)
        await here.swept(lambda: bool(here.outcomes()))
        assert here.outcomes() == ["unknown"]
        assert here.record.terminators == 0


async def test_a_terminator_of_which_nothing_has_left_is_withdrawn_at_commit_by(mock_clock: MockClock) -> None:
    """It waited under the timer of a commit, left ten minutes behind the dot, and made a duplicate. Item 9"""
    script = Script((Rule(Point.DATA, (Normal(), StopReading()), connections=(1,)),))
    async with stage(script, settings=STREAM) as here:
        guest = await _committing(here)
        await here.pass_time(299.0)
        here.sweep()
        await quiet()
        assert guest.session.committed
        await here.pass_time(1.0)
        await here.swept(lambda: bool(here.outcomes()))
        assert (await guest.client.hear(1))[0].text.startswith("4.4.5")
        assert here.record.terminators == 0
        assert (await guest.sends()).code == 250
        assert here.outcomes() == ["deferred", "delivered"]


async def test_a_client_that_is_gone_before_its_terminator_began_gets_no_commit(mock_clock: MockClock) -> None:
    """Item 7: looked at before the commit, and the commit had not begun."""
    async with stage(at(Point.DATA, Normal(), StopReading()), settings=STREAM) as here:
        guest = await _committing(here)
        await guest.client.leave("reset")
        await here.swept(lambda: guest.ended)
        assert here.outcomes() == ["deferred"]
        await until(lambda: here.server.open == 0)
        assert here.record.terminators == 0


async def test_a_backend_that_speaks_before_the_terminator_began_has_not_answered_it(mock_clock: MockClock) -> None:
    liar = Script((Rule(Point.DATA, (Normal(), StopReading(), Pause(5.0), reply("250 2.6.0 taken"))),))
    async with stage(liar, settings=STREAM) as here:
        guest = await _committing(here)
        await here.pass_time(5.0)
        here.sweep()
        assert (await guest.client.hear(1))[0].code == 451
        assert here.outcomes() == ["deferred"]


async def test_backend_that_answers_before_it_has_the_whole_terminator_has_not_answered_it(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    liar = Script(
        (Rule(Point.DATA, (Normal(), StopReading(), Pause(5.0), reply("250 2.6.0 taken")), connections=(1,)),)
    )
    async with stage(liar, settings=STREAM) as here:
        # The next mail is there already: what the first connection said must not be taken for the second one's words.
        guest = await _half_committed(here, monkeypatch, ENVELOPE)
        await here.pass_time(5.0)
        here.sweep()
        assert [one.code for one in await guest.client.hear(3)] == [451, 250, 250]
        assert await guest.codes(b"DATA\r\n") == [354]
        assert await guest.codes(LETTER + b".\r\n") == [250]
        assert here.outcomes() == ["unknown", "delivered"]
        assert here.record.violations == []


# A backend whose every word is said by hand


@dataclass(slots=True)
class ByHand:
    """One connection to it."""

    sock: socket.socket
    heard: bytearray = field(default_factory=bytearray)

    async def says(self, octets: bytes, until_heard: bytes) -> None:
        """Say something, and read until the proxy has said this."""
        self.sock.send(octets)
        while until_heard not in self.heard:
            assert await self.reads()

    async def reads(self) -> bool:
        """Read once; False: the proxy has closed."""
        await trio.lowlevel.wait_readable(self.sock)
        octets = self.sock.recv(1 << 20)
        self.heard += octets
        return bool(octets)

    def resets(self) -> None:
        """Go."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@contextlib.asynccontextmanager
async def by_hand(settings: RelaySettings) -> AsyncIterator[tuple[Stage, Guest, ByHand]]:
    """A session whose envelope was taken by such a backend."""
    with listen(Endpoint("127.0.0.1", 0)) as listener:
        async with stage(bound(listener), settings=settings) as here:
            guest = await here.enter()
            await guest.says_hello()
            await guest.client.say(ENVELOPE)
            await trio.lowlevel.wait_readable(listener)
            with listener.accept()[0] as sock:
                backend = ByHand(sock)
                await backend.says(b"220 mx1.example.org\r\n", b"EHLO mx.example.org\r\n")
                await backend.says(b"250-mx1.example.org\r\n250 PIPELINING\r\n", b"RCPT TO:<user@example.org>\r\n")
                sock.send(b"250 ok\r\n250 ok\r\n")
                assert [one.code for one in await guest.client.hear(2)] == [250, 250]
                yield here, guest, backend


async def test_time_that_the_backend_takes_is_not_the_clients(mock_clock: MockClock) -> None:
    """A fast client heard that it was too slow, because its octets waited in our kernel for a backend that stalled."""
    settings = replace(SETTINGS, body=BodyMode.STREAM)
    async with by_hand(settings) as (here, guest, backend):
        await guest.client.say(b"DATA\r\n")
        await backend.says(b"", b"DATA\r\n")
        backend.sock.send(b"354 go on\r\n")
        assert (await guest.client.hear(1))[0].code == 354
        await quiet()
        _fill(guest)
        await guest.client.say(b"x\r\n")
        await until(lambda: guest.session._waiting.writing)
        for _ in range(2):
            await here.pass_time(settings.lease)
            guest.session.recall()
            here.sweep()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_reads_all, backend)
            await until(lambda: not guest.session._waiting.writing)
            guest.session.recall()
            await quiet()
            assert (await guest.codes(b"NOOP\r\n", 0)) == []
            nursery.cancel_scope.cancel()
        relay = guest.session._relay
        assert relay.streaming
        await guest.client.leave("closed")
        await here.over(guest)
        waited = here.journal.one(Event.SESSION)["waited"]
        assert waited == {"client": 0.0, "backend": 2 * settings.lease}


async def _reads_all(backend: ByHand) -> None:
    while await backend.reads():
        pass


async def test_backend_that_speaks_and_is_gone_when_the_terminator_should_leave(mock_clock: MockClock) -> None:
    """Between the look and the write: its last words lie there to be read, and answer nothing."""
    async with by_hand(SETTINGS) as (here, guest, backend):

        def strikes() -> None:
            backend.sock.send(b"250 2.6.0 taken\r\n")
            backend.resets()

        here.journal.before[Event.COMMIT] = strikes
        assert await guest.codes(b"DATA\r\n") == [354]
        await guest.client.say(LETTER + b".\r\n")
        await backend.says(b"", b"DATA\r\n")
        backend.sock.send(b"354 go on\r\n")
        assert (await guest.client.hear(1))[0].code == 451
        assert here.outcomes() == ["unknown"]


@pytest.mark.parametrize("settings", [STREAM, HOLD, COLLECT], ids=lambda one: one.body.value)
async def test_backend_that_is_gone_when_the_body_should_leave(mock_clock: MockClock, settings: RelaySettings) -> None:
    async with by_hand(settings) as (here, guest, backend):
        await guest.client.say(b"DATA\r\n")
        if settings is not STREAM:
            assert [one.code for one in await guest.client.hear(1)] == [354]
            await guest.client.say(LETTER * 30 + b".\r\n")
        await backend.says(b"", b"DATA\r\n")
        backend.sock.send(b"354 go on\r\n")
        backend.resets()
        if settings is STREAM:
            assert [one.code for one in await guest.client.hear(1)] == [354]
            await guest.client.say(LETTER * 30 + b".\r\n")
        assert (await guest.client.hear(1))[0].text.startswith("4.3.2 Mail server closed")
        assert (here.outcomes(), here.journal.of(Event.COMMIT)) == (["deferred"], [])


async def test_cut_off_between_what_lies_on_disk_and_what_stands_behind_it(mock_clock: MockClock) -> None:
    """Octets that did not leave are a hole: nothing of what stands behind it may leave."""
    async with by_hand(HOLD) as (here, guest, backend):
        guest.backend.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        assert await guest.codes(b"DATA\r\n") == [354]
        await guest.client.say(MEGABYTES)
        await until(lambda: guest.session._relay.dialogue.octets_in > len(MEGABYTES) + len(ENVELOPE))
        await quiet()
        await guest.client.say(b"The end\r\n.\r\n")
        await backend.says(b"", b"DATA\r\n")
        backend.sock.send(b"354 go on\r\n")
        await until(lambda: guest.session._waiting.writing)
        guest.session.cut_off()
        assert (await guest.client.hear(1))[0].code == 421
        while await backend.reads():
            pass
        assert len(backend.heard) < len(MEGABYTES)
        assert b"The end" not in backend.heard
        assert here.outcomes() == ["deferred"]


# A backend that speaks or ends while a body is being sent


@pytest.mark.parametrize(
    ("steps", "heard", "outcome"),
    [
        ((reply("552 5.3.4 enough"),), "552 5.3.4 enough", "rejected"),
        ((reply("452 4.3.1 full"),), "452 4.3.1 full", "deferred"),
        ((reply("250 2.6.0 taken"),), "451 4.3.0", "deferred"),
        ((reply("421 4.3.2 bye"), Close()), "451 4.3.2", "deferred"),
        ((Close(),), "451 4.3.2", "deferred"),
    ],
)
async def test_backend_that_speaks_inside_a_body_is_heard_at_the_final_dot(
    mock_clock: MockClock, steps: tuple[Step, ...], heard: str, outcome: str
) -> None:
    async with stage(at(Point.BODY, *steps, octets=100), settings=STREAM) as here:
        guest = await here.enter()
        await guest.begins()
        await guest.client.say(LETTER * 10)
        await here.swept(lambda: here.server.open == 0)
        await guest.client.say(LETTER + b".\r\n")
        (answer,) = await guest.client.hear(1)
        assert f"{answer.code} {answer.text}".startswith(heard)
        assert here.outcomes() == [outcome]
        assert here.record.terminators == 0


@pytest.mark.parametrize("settings", [STREAM, HOLD, COLLECT], ids=lambda one: one.body.value)
async def test_backend_that_speaks_and_reads_no_more(mock_clock: MockClock, settings: RelaySettings) -> None:
    early = at(Point.BODY, reply("552 5.3.4 enough"), StopReading(), octets=1000)
    async with stage(early, settings=settings) as here:
        guest = await _stalled(here)
        async with talking(guest, MEGABYTES + b".\r\n"):
            await here.swept(lambda: bool(here.outcomes()))
            assert (await guest.client.hear(1))[0].text == "5.3.4 enough"
        assert here.outcomes() == ["rejected"]


@pytest.mark.parametrize("settings", [HOLD, COLLECT, ONE_CHUNK], ids=["disk", "memory", "stream"])
@pytest.mark.parametrize(
    ("words", "heard"),
    [("552 5.3.4 enough", "552 5.3.4 enough"), ("250 2.0.0 taken", "451 4.3.0"), ("503 what?", "451 4.3.5")],
)
async def test_backend_that_speaks_inside_a_chunk_has_not_got_it(
    mock_clock: MockClock, settings: RelaySettings, words: str, heard: str
) -> None:
    """A 250 read there is no reply to the chunk: a message would be committed with a hole in it."""
    early = at(Point.BODY, reply(words), StopReading(), octets=1000)
    async with stage(early, settings=settings) as here:
        guest = await here.enter()
        await guest.says_hello()
        assert await guest.codes(ENVELOPE, 2) == [250, 250]
        guest.backend.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        async with talking(guest, b"BDAT %d LAST\r\n" % len(MEGABYTES) + MEGABYTES):
            await here.swept(lambda: bool(here.outcomes()))
            (answer,) = await guest.client.hear(1)
        assert f"{answer.code} {answer.text}".startswith(heard)
        assert here.record.terminators == 0
        assert here.journal.of(Event.COMMIT) == []
        assert (await guest.sends()).code == 250


async def test_a_chunk_that_ends_on_disk_is_answered_not_cut_off(mock_clock: MockClock) -> None:
    """The reply came before the driver looked: behind the last piece it is the one that is owed."""
    letter = LETTER * 100
    settings = replace(HOLD, limits=replace(HOLD.limits, chunk_end=len(LETTER)), trace_header=False)
    async with stage(settings=settings) as here:
        guest = await here.enter()
        await guest.says_hello()
        assert await guest.codes(ENVELOPE + b"BDAT %d LAST\r\n" % len(letter) + letter, 3) == [250, 250, 250]
        assert [one.wire for one in here.record.accepted] == [letter]


# Reaching a server


@contextlib.contextmanager
def deaf() -> Iterator[Endpoint]:
    """An address whose queue is full: it answers no SYN."""
    with contextlib.ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        while True:
            filler = open_sockets.enter_context(socket.socket())
            prepare(filler)
            filler.connect_ex(listener.getsockname())
            if not connected(filler):
                break
        yield bound(listener)


async def test_connection_that_is_refused_leads_to_the_next_server(mock_clock: MockClock) -> None:
    async with stage(deserted(), Script()) as here:
        assert (await here.mail()).code == 250
        line = here.journal.one(Event.BACKEND_DOWN)
        assert (line["server"], line["reason"]) == (here.server.name, "Connection refused")
        assert len(here.records[1].accepted) == 1
        # The next mail does not ask it any more.
        assert (await here.mail()).code == 250
        assert [line["backend_connections"] for line in here.journal.of(Event.SESSION)] == [2, 1]


async def test_connection_that_takes_too_long_leads_to_the_next_server(mock_clock: MockClock) -> None:
    with deaf() as nowhere:
        async with stage(nowhere, Script()) as here:
            guest = await here.enter()
            await guest.says_hello()
            await guest.client.say(ENVELOPE)
            await quiet()
            await here.pass_time(LIMITS.connect_time)
            here.sweep()
            assert [one.code for one in await guest.client.hear(2)] == [250, 250]
            assert here.journal.one(Event.BACKEND_DOWN)["reason"] == "connect timeout"


async def test_connection_that_was_made_in_time_waits_for_the_greeting_longer(mock_clock: MockClock) -> None:
    async with stage(at(Point.GREETING, Pause(60.0), Normal())) as here:
        guest = await here.enter()
        await guest.says_hello()
        await guest.client.say(ENVELOPE)
        await quiet()
        for _ in range(6):
            await here.pass_time(10.0)
            here.sweep()
        assert [one.code for one in await guest.client.hear(2)] == [250, 250]


async def test_name_that_was_never_resolved(mock_clock: MockClock) -> None:
    async with stage() as here:
        here.server.address = None
        guest = await here.enter()
        await guest.says_hello()
        assert await guest.codes(ENVELOPE, 2) == [250, 451]
        assert here.journal.one(Event.BACKEND_DOWN)["reason"] == "name not resolved"
        assert here.record.opened == 0


async def test_no_server_at_all(mock_clock: MockClock) -> None:
    async with stage(deserted(), deserted()) as here:
        guest = await here.enter()
        await guest.says_hello()
        await guest.client.say(ENVELOPE)
        (_, refused) = await guest.client.hear(2)
        assert refused.text.startswith("4.3.2 Mail server not reachable")
        assert len(here.journal.of(Event.BACKEND_DOWN)) == 2


async def test_no_descriptor_left_is_no_fault_of_the_server(mock_clock: MockClock) -> None:
    async with stage() as here:
        guest = await here.enter()
        await guest.says_hello()
        with no_descriptors_left():
            assert await guest.codes(ENVELOPE, 2) == [250, 451]
        assert here.journal.lines == []
        assert not here.server.down
        assert await guest.codes(b"RSET\r\n") == [250]
        assert (await guest.sends()).code == 250


async def _at_the_ceiling(here: Stage) -> tuple[Guest, Guest]:
    """A session that uses the only place, and one in line for it."""
    holder, waiter = await here.enter(), await here.enter()
    for guest in (holder, waiter):
        await guest.says_hello()
        await guest.client.say(ENVELOPE)
        await quiet()
    assert here.pool.waiting == 1
    return holder, waiter


async def test_no_place_in_time(mock_clock: MockClock) -> None:
    async with stage(never(Point.RCPT), places=1) as here:
        _, waiter = await _at_the_ceiling(here)
        await here.pass_time(LIMITS.place_time)
        here.sweep()
        (_, refused) = await waiter.client.hear(2)
        assert refused.text.startswith("4.3.2 Mail server is busy")
        assert here.pool.waiting == 0


async def test_client_that_vanishes_in_the_line_leaves_it(mock_clock: MockClock) -> None:
    async with stage(never(Point.RCPT), places=1) as here:
        holder, waiter = await _at_the_ceiling(here)
        await waiter.client.leave("closed")
        await here.swept(lambda: waiter.ended)
        assert (here.pool.waiting, here.server.open) == (0, 1)
        assert not holder.ended


async def test_cut_off_in_the_line(mock_clock: MockClock) -> None:
    async with stage(never(Point.RCPT), places=1) as here:
        _, waiter = await _at_the_ceiling(here)
        waiter.session.cut_off()
        assert [one.code for one in await waiter.client.hear_the_end()] == [250, 421]
        assert here.pool.waiting == 0


async def test_place_that_comes_while_its_waiter_leaves_goes_back(mock_clock: MockClock) -> None:
    async with stage(Script((Rule(Point.RCPT, (), connections=(1,)),)), places=1) as here:
        holder, waiter = await _at_the_ceiling(here)
        waiter.session.cut_off()
        holder.session._client.close()
        holder.session.cut_off()
        await until(lambda: here.server.open == 0)
        assert (await here.mail()).code == 250


async def test_an_idle_holder_is_asked_to_give_its_place_back(mock_clock: MockClock) -> None:
    async with stage(places=1) as here:
        holder, waiter = await here.enter(), await here.enter()
        for guest in (holder, waiter):
            await guest.says_hello()
        assert await holder.codes(ENVELOPE, 2) == [250, 250]
        await waiter.client.say(ENVELOPE)
        await quiet()
        await here.pass_time(RECALL_AFTER)
        here.pool.press(trio.current_time())
        assert [one.code for one in await waiter.client.hear(2)] == [250, 250]
        assert await waiter.codes(b"RSET\r\nQUIT\r\n", 2) == [250, 221]
        assert await holder.codes(b"DATA\r\n") == [354]
        assert await holder.codes(LETTER + b".\r\n") == [250]


async def test_a_slow_stream_is_ended_while_others_wait(mock_clock: MockClock) -> None:
    async with stage(settings=STREAM, places=1) as here:
        holder, waiter = await here.enter(), await here.enter()
        await holder.begins()
        await holder.client.say(LETTER)
        await waiter.says_hello()
        await waiter.client.say(ENVELOPE)
        await quiet()
        await here.pass_time(here.service.settings.lease + 1)
        here.pool.press(trio.current_time())
        assert [one.code for one in await waiter.client.hear(2)] == [250, 250]
        await holder.client.say(b".\r\n")
        assert (await holder.client.hear(1))[0].text.startswith("4.4.2 Message comes too slowly while others wait")


# The end of the process


async def test_drain_between_two_transactions(mock_clock: MockClock) -> None:
    async with stage() as here:
        guest = await here.enter()
        await guest.says_hello()
        guest.session.shut_down()
        assert [one.text[:24] for one in await guest.client.hear_the_end()] == ["4.3.2 Service is restart"]
        assert here.endings() == ["shutdown"]


@pytest.mark.parametrize("body", list(BodyMode), ids=lambda body: body.value)
async def test_drain_lets_a_transaction_finish(mock_clock: MockClock, body: BodyMode) -> None:
    async with stage(settings=RelaySettings("mx.example.org", body=body)) as here:
        guest = await here.enter()
        await guest.begins()
        guest.session.shut_down()
        await guest.client.say(LETTER + b".\r\n")
        assert [one.code for one in await guest.client.hear_the_end()] == [250, 421]
        assert (here.outcomes(), here.endings()) == (["delivered"], ["shutdown"])


async def test_drain_does_not_disturb_a_wait_for_the_backend(mock_clock: MockClock) -> None:
    async with stage(at(Point.RCPT, Pause(5.0), Normal())) as here:
        guest = await here.enter()
        await guest.says_hello()
        await guest.client.say(ENVELOPE)
        await quiet()
        guest.session.shut_down()
        await here.pass_time(5.0)
        assert [one.code for one in await guest.client.hear(2)] == [250, 250]
        assert await guest.codes(b"DATA\r\n") == [354]


@pytest.mark.parametrize("point", SLOW_POINTS)
async def test_cut_off_in_a_wait_for_the_backend(mock_clock: MockClock, point: Point) -> None:
    async with stage(never(point), settings=STREAM) as here:
        guest = await here.enter()
        await guest.says_hello()
        await guest.client.say(ENVELOPE + b"DATA\r\n")
        await quiet()
        guest.session.cut_off()
        assert (await guest.client.hear_the_end())[-1].code == 421
        assert here.endings() == ["shutdown"]
        assert here.record.terminators == 0


async def test_cut_off_inside_a_body(mock_clock: MockClock) -> None:
    async with stage(settings=STREAM) as here:
        guest = await here.enter()
        await guest.begins()
        await guest.client.say(LETTER)
        await quiet()
        guest.session.cut_off()
        # It goes on for a moment: it must be able to read why it ends here.
        await guest.client.say(LETTER * 100)
        assert [one.code for one in await guest.client.hear_the_end()] == [421]
        await guest.client.leave("closed")
        await here.over(guest)
        assert here.record.terminators == 0


async def test_cut_off_after_the_commit_waits_for_the_reply(mock_clock: MockClock) -> None:
    async with stage(at(Point.FINAL, Pause(30.0), Normal())) as here:
        guest = await here.enter()
        await guest.begins()
        await guest.client.say(LETTER + b".\r\n")
        await until(lambda: guest.session.committed)
        guest.session.cut_off()
        await here.pass_time(30.0)
        assert [one.code for one in await guest.client.hear_the_end()] == [250, 421]
        assert here.outcomes() == ["delivered"]


async def test_goodbye_is_waited_for_only_a_moment(mock_clock: MockClock) -> None:
    async with stage() as here:
        guest = await here.enter()
        await guest.says_hello()
        guest.session.cut_off()
        await guest.client.hear_the_end()
        await quiet()
        assert not guest.ended
        await here.pass_time(2.0)
        await here.over(guest)


async def test_goodbye_does_not_listen_for_ever(mock_clock: MockClock) -> None:
    async with stage() as here:
        guest = await here.enter()
        await guest.says_hello()
        guest.session.cut_off()
        await guest.client.hear_the_end()
        async with talking(guest, MEGABYTES * 4):
            await here.over(guest)


# Crashes


class _Stumbling(Relay):
    """A relay with a fault of its own: it cannot read commands."""

    __slots__ = ()

    def handle(self, event: events.Event, now: float) -> list[events.Effect]:
        if isinstance(event, events.ClientBytes):
            raise ZeroDivisionError("a fault of ours")
        return super().handle(event, now)


class _Broken(Relay):
    """A relay that can do nothing at all."""

    __slots__ = ()

    def handle(self, event: events.Event, now: float) -> list[events.Effect]:
        raise ZeroDivisionError("a fault of ours")


def _crash(here: Stage) -> None:
    """There is one crash line, with all that is needed to find the fault."""
    line = here.journal.one(Event.CRASH)
    (session,) = here.journal.of(Event.SESSION)
    assert line["session"] == session["session"]
    assert line["where"] == "session"
    assert isinstance(line["error"], ZeroDivisionError | RuntimeError)
    assert line["traceback"] is line["error"].__traceback__ is not None
    assert (session["ended"], session["by"]) == ("crash", "proxy")


async def test_crash_between_commands(mock_clock: MockClock) -> None:
    async with stage() as here:
        guest = await here.enter()
        await guest.says_hello()
        guest.session._relay.__class__ = _Stumbling
        await guest.client.say(b"NOOP\r\n")
        (goodbye,) = await guest.client.hear_the_end()
        assert (goodbye.code, goodbye.text[:20]) == (421, "4.3.0 Internal error")
        await guest.client.leave("closed")
        await here.over(guest)
        _crash(here)
        assert (await here.mail()).code == 250


@pytest.mark.parametrize("body", list(BodyMode), ids=lambda body: body.value)
async def test_crash_inside_a_body_commits_nothing(mock_clock: MockClock, body: BodyMode) -> None:
    async with stage(settings=RelaySettings("mx.example.org", body=body, limits=Limits(body_memory=50))) as here:
        guest = await here.enter()
        await guest.begins()
        await guest.client.say(LETTER)
        await until(lambda: guest.session._relay.dialogue.octets_in > len(LETTER) + len(ENVELOPE))
        await quiet()
        guest.session._relay.__class__ = _Stumbling
        await guest.client.say(LETTER + b".\r\n")
        assert [one.code for one in await guest.client.hear_the_end()] == [421]
        _crash(here)
        assert here.outcomes() == ["deferred"]
        await until(lambda: all(one.ended for one in here.record.connections))
        assert here.record.terminators == 0
        assert here.server.open == 0


async def test_crash_between_the_commit_line_and_the_commit(mock_clock: MockClock) -> None:
    """The relay believes that the terminator left, and says so: unknown. It did not, and never will."""
    async with stage(journal=FakeJournal(before={Event.COMMIT: broken})) as here:
        guest = await here.enter()
        await guest.begins()
        await guest.client.say(LETTER + b".\r\n")
        assert [one.code for one in await guest.client.hear_the_end()] == [451]
        _crash(here)
        assert here.outcomes() == ["unknown"]
        await until(lambda: all(one.ended for one in here.record.connections))
        assert here.record.terminators == 0
        assert (await here.mail()).code == 250


async def test_relay_that_cannot_even_end_takes_nobody_with_it(mock_clock: MockClock) -> None:
    async with stage() as here:
        guest = await here.enter()
        await guest.says_hello()
        assert await guest.codes(ENVELOPE, 2) == [250, 250]
        guest.session._relay.__class__ = _Broken
        await guest.client.say(b"NOOP\r\n")
        assert await guest.client.hear_the_end() == []
        await here.over(guest)
        assert len(here.journal.of(Event.CRASH)) == 2
        assert here.server.open == 0
        assert (await here.mail()).code == 250


async def test_policy_check_that_raises_is_no_crash(mock_clock: MockClock) -> None:
    broken = Policy((Check(hello.CHECK, None, Action.REJECT),))
    async with stage(policy=broken) as here:
        assert (await here.mail()).code == 250
        assert here.journal.of(Event.CRASH) == []


async def test_a_bug_in_what_is_learned_of_a_server_costs_no_line(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_pool(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Pool, "heard", broken_pool)
    async with stage() as here:
        assert (await here.mail()).code == 250
        assert here.journal.one(Event.MESSAGE)["outcome"] == "delivered"
        assert here.journal.one(Event.SESSION)["delivered"] == 1
        assert here.journal.one(Event.CRASH)["where"] == "backend backend"
