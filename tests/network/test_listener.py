"""Listeners: they accept, pause when they cannot, and outlive whatever comes in."""

import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from errno import ECONNABORTED, ENOMEM, EPROTO
from ipaddress import ip_network

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from smtproxy.network.driver import Session
from smtproxy.network.listener import BATCH, FEW, PAUSE, Listener
from smtproxy.network.sockets import Endpoint, bound, listen
from smtproxy.policy.checks import protocol_errors
from smtproxy.policy.exemptions import Exemption, Match
from smtproxy.policy.judge import Check, Policy
from smtproxy.policy.overload import Overload, OverloadSettings, Reading
from smtproxy.policy.quotas import Quotas, QuotaSettings
from smtproxy.session.records import Event
from tests.fakes.journal import broken
from tests.network.stage import SETTINGS, Stage, no_descriptors_left, quiet, stage, until
from tests.network.world import Client


@contextlib.asynccontextmanager
async def listening(
    here: Stage, sock: socket.socket | None = None, *, most: int = 100
) -> AsyncIterator[tuple[Endpoint, set[Session]]]:
    """Listen beside the block; -> where, and the sessions that run. All of them have to be over at its end."""
    sessions: set[Session] = set()
    with sock or listen(Endpoint("127.0.0.1", 0)) as mine:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Listener(mine, here.service, sessions, most).serve, nursery)
            yield bound(mine), sessions
            await until(lambda: not sessions)
            nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def client(where: Endpoint, *, source: str = "127.0.0.1") -> AsyncIterator[Client]:
    """A connected client, with this address where it comes by IPv4."""
    own = None if ":" in where.host else source
    stream = await trio.open_tcp_stream(where.host, where.port, local_address=own)
    try:
        yield Client(stream)
    finally:
        await trio.aclose_forcefully(stream)


async def heard(one: Client) -> list[int]:
    """The code of the next reply."""
    return [reply.code for reply in await one.hear(1)]


async def test_each_client_gets_a_session(mock_clock: MockClock) -> None:
    async with stage() as here, listening(here) as (where, sessions):
        async with client(where) as one, client(where) as other:
            assert [await heard(one), await heard(other)] == [[220], [220]]
            assert len(sessions) == 2
            await one.say(b"QUIT\r\n")
            assert await heard(one) == [221]
            await one.hear_the_end()
            await until(lambda: len(sessions) == 1)
        await until(lambda: not sessions)
        lines = here.journal.of(Event.SESSION)
        assert [line["client"] for line in lines] == ["127.0.0.1"] * 2
        assert sorted(str(line["ended"]) for line in lines) == ["closed", "quit"]


async def test_clients_of_the_other_family(mock_clock: MockClock) -> None:
    async with stage() as here, listening(here, listen(Endpoint("::1", 0))) as (where, sessions):
        async with client(where) as one:
            assert await heard(one) == [220]
            port = one.stream.socket.getsockname()[1]
        await until(lambda: not sessions)
        line = here.journal.one(Event.SESSION)
        assert (line["client"], line["port"]) == ("::1", port)


async def test_more_at_once_than_a_batch_holds(mock_clock: MockClock) -> None:
    async with stage() as here, listening(here) as (where, sessions), contextlib.AsyncExitStack() as clients:
        many = [await clients.enter_async_context(client(where)) for _ in range(BATCH + 10)]
        assert [await heard(one) for one in many] == [[220]] * (BATCH + 10)
        assert len(sessions) == BATCH + 10


async def test_workers_that_share_a_socket_share_the_clients(mock_clock: MockClock) -> None:
    """All of them have waited, so each worker might take them all."""
    async with stage() as here, contextlib.AsyncExitStack() as clients:
        one = listen(Endpoint("127.0.0.1", 0))
        with one, one.dup() as other:
            many = [await clients.enter_async_context(client(bound(one))) for _ in range(4 * FEW)]
            workers: tuple[set[Session], set[Session]] = (set(), set())
            async with trio.open_nursery() as nursery:
                for sock, sessions in zip((one, other), workers, strict=True):
                    listener = Listener(sock, here.service, sessions, 100, batch=FEW)
                    nursery.start_soon(listener.serve, nursery)
                assert [await heard(each) for each in many] == [[220]] * (4 * FEW)
                assert [len(sessions) for sessions in workers] == [2 * FEW, 2 * FEW]
                for each in many:
                    await each.leave("closed")
                await until(lambda: not any(workers))
                nursery.cancel_scope.cancel()


async def test_running_out_of_descriptors_pauses_and_is_told_once(mock_clock: MockClock) -> None:
    async with stage() as here, listening(here) as (where, sessions):
        with socket.socket() as waiting:
            waiting.setblocking(False)
            with no_descriptors_left():
                waiting.connect_ex((where.host, where.port))
                for _ in range(5):
                    await here.pass_time(PAUSE)
                assert sessions == set()
            assert here.journal.lines == [
                (Event.ACCEPT_PAUSED, {"listener": "mx", "reason": "Too many open files"}),
            ]
            await here.pass_time(PAUSE)
            await until(lambda: len(sessions) == 1)
            (paused, resumed) = here.journal.lines
            assert resumed == (Event.ACCEPT_RESUMED, {"listener": "mx", "paused": pytest.approx(0.6, abs=0.11)})
        await until(lambda: not sessions)
        async with client(where) as one:
            assert await heard(one) == [220]
        assert here.journal.of(Event.ACCEPT_PAUSED) == [paused[1]]


async def test_sessions_are_bounded_and_clients_wait_outside(mock_clock: MockClock) -> None:
    async with stage() as here, listening(here, most=2) as (where, sessions), contextlib.AsyncExitStack() as clients:
        first, second, third = [await clients.enter_async_context(client(where)) for _ in range(3)]
        assert [await heard(one) for one in (first, second)] == [[220], [220]]
        for _ in range(5):
            await here.pass_time(PAUSE)
        assert len(sessions) == 2
        assert here.journal.one(Event.ACCEPT_PAUSED)["reason"] == "sessions: the limit is reached"
        await first.leave("closed")
        await until(lambda: len(sessions) == 1)
        await here.pass_time(PAUSE)
        assert await heard(third) == [220]
        assert len(here.journal.of(Event.ACCEPT_RESUMED)) == 1


async def test_the_bound_is_kept_within_a_batch(mock_clock: MockClock) -> None:
    async with stage() as here, contextlib.AsyncExitStack() as clients:
        sock = listen(Endpoint("127.0.0.1", 0))
        where = bound(sock)
        for _ in range(5):
            await clients.enter_async_context(client(where))
        async with listening(here, sock, most=3) as (_, sessions):
            await quiet()
            assert len(sessions) == 3
            await clients.aclose()
            await until(lambda: not sessions)
            await here.pass_time(PAUSE)


async def test_a_client_that_is_gone_before_it_was_accepted(mock_clock: MockClock) -> None:
    async with stage() as here:
        sock = listen(Endpoint("127.0.0.1", 0))
        where = bound(sock)
        for linger in (b"", struct.pack("ii", 1, 0)):
            with socket.create_connection((where.host, where.port)) as gone:
                if linger:
                    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        async with listening(here, sock) as (_, sessions):
            await until(lambda: len(here.journal.of(Event.SESSION)) == 2)
            async with client(where) as one:
                assert await heard(one) == [220]
            await until(lambda: not sessions)


class _Torn(socket.socket):
    """A listening socket on which accepting fails as it does where a client gave up, and where nothing is left."""

    failures: list[OSError]

    def accept(self) -> "tuple[socket.socket, object]":
        if self.failures:
            raise self.failures.pop()
        return super().accept()


async def test_an_accept_that_fails_is_not_the_end(mock_clock: MockClock) -> None:
    async with stage() as here:
        torn = _Torn(fileno=listen(Endpoint("127.0.0.1", 0)).detach())
        torn.setblocking(False)
        torn.failures = [OSError(number, os.strerror(number)) for number in (ECONNABORTED, EPROTO, ENOMEM)]
        async with listening(here, torn) as (where, _), client(where) as one:
            await wait_all_tasks_blocked()
            assert here.journal.one(Event.ACCEPT_PAUSED)["reason"] == "Cannot allocate memory"
            await here.pass_time(PAUSE)
            assert await heard(one) == [220]


async def test_a_session_that_crashes_takes_nobody_with_it(mock_clock: MockClock) -> None:
    async with stage() as here, listening(here) as (where, sessions):
        here.journal.before[Event.SESSION] = broken
        async with client(where) as one, client(where) as other:
            assert [await heard(one), await heard(other)] == [[220], [220]]
            await one.say(b"QUIT\r\n")
            await one.hear_the_end()
            await until(lambda: len(sessions) == 1)
            assert len(here.journal.of(Event.CRASH)) == 1
            await other.say(b"NOOP\r\n")
            await other.hear(1)
        async with client(where) as third:
            assert await heard(third) == [220]


async def test_stopping_to_accept_leaves_the_sessions_alone(mock_clock: MockClock) -> None:
    async with stage() as here, trio.open_nursery() as nursery:
        sessions: set[Session] = set()
        accepting = trio.CancelScope()

        async def accept(listener: Listener) -> None:
            with accepting:
                await listener.serve(nursery)

        with listen(Endpoint("127.0.0.1", 0)) as sock:
            nursery.start_soon(accept, Listener(sock, here.service, sessions, 100))
            async with client(bound(sock)) as one:
                assert await heard(one) == [220]
                accepting.cancel()
                await quiet()
                await one.say(b"NOOP\r\n")
                await one.hear(1)
                async with client(bound(sock)):
                    await quiet()
                    assert len(sessions) == 1


BALANCERS = (ip_network("127.0.0.2"), ip_network("127.0.0.16/30"))
HEADER = b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\r\n"


async def test_the_client_is_whom_its_balancer_names(mock_clock: MockClock) -> None:
    async with stage(balancers=BALANCERS) as here, listening(here) as (where, _):
        async with client(where, source="127.0.0.2") as one:
            await one.say(HEADER)
            assert await heard(one) == [220]
            await one.say(b"EHLO client.example\r\n")
            (reply,) = await one.hear(1)
            assert b"192.0.2.9" in reply.octets
            await one.say(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@example.org>\r\nDATA\r\n")
            assert [one.code for one in await one.hear(3)] == [250, 250, 354]
            await one.say(b"text\r\n.\r\nQUIT\r\n")
            assert [one.code for one in await one.hear(2)] == [250, 221]
        await until(lambda: bool(here.journal.of(Event.SESSION)))
        (mail,) = here.record.accepted
        assert mail.wire.startswith(b"Received: from client.example ([192.0.2.9])\r\n")
        session, message = here.journal.one(Event.SESSION), here.journal.one(Event.MESSAGE)
        assert (session["client"], session["port"], session["proxy"]) == ("192.0.2.9", 4711, "127.0.0.2")
        assert (message["client"], message["proxy"]) == ("192.0.2.9", "127.0.0.2")


async def test_what_came_behind_the_header_is_the_clients(mock_clock: MockClock) -> None:
    async with stage(balancers=BALANCERS) as here, listening(here) as (where, _):
        async with client(where, source="127.0.0.18") as one:
            await one.say(HEADER + b"NOOP\r\n" + HEADER + b"QUIT\r\n")
            assert [reply.code for reply in await one.hear(4)] == [220, 250, 500, 221]
        await until(lambda: bool(here.journal.of(Event.SESSION)))
        assert here.journal.one(Event.SESSION)["commands"] == 3


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"])
async def test_a_balancer_that_looks_after_us_is_answered(header: bytes, mock_clock: MockClock) -> None:
    async with stage(balancers=BALANCERS) as here, listening(here) as (where, _):
        async with client(where, source="127.0.0.2") as one:
            await one.say(header)
            assert await heard(one) == [220]
            await one.say(b"QUIT\r\n")
            assert await heard(one) == [221]
        await until(lambda: bool(here.journal.of(Event.SESSION)))
        line = here.journal.one(Event.SESSION)
        assert line["client"] == "127.0.0.2"
        assert "proxy" not in line


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"EHLO client.example\r\n", "missing"),
        (HEADER.replace(b"4711", b"x"), "malformed"),
        (b"", "timeout"),
        (HEADER[:-2], "timeout"),
    ],
)
async def test_without_its_header_a_balancer_hears_nothing(said: bytes, reason: str, mock_clock: MockClock) -> None:
    async with stage(balancers=BALANCERS) as here, listening(here) as (where, _):
        async with client(where, source="127.0.0.2") as one:
            await one.say(said)
            if reason == "timeout":
                await here.pass_time(here.service.settings.limits.proxy_header_time)
            assert await one.hear_the_end() == []
        await until(lambda: bool(here.journal.of(Event.SESSION)))
        line = here.journal.one(Event.SESSION)
        assert (line["client"], line["proxy"]) == (None, "127.0.0.2")
        assert (line["ended"], line["by"], line["commands"], line["octets_out"]) == (
            "proxy_header",
            "proxy_protocol",
            0,
            0,
        )
        assert line["findings"] == [
            {"check": "proxy_protocol", "stage": "connect", "reason": reason, "action": "drop"},
        ]


async def test_from_elsewhere_no_header_is_believed(mock_clock: MockClock) -> None:
    async with stage(balancers=BALANCERS) as here, listening(here) as (where, _):
        async with client(where, source="127.0.0.3") as one:
            assert await heard(one) == [220]
            await one.say(HEADER)
            assert await heard(one) == [500]
            await one.say(b"QUIT\r\n")
            assert await heard(one) == [221]
        await until(lambda: bool(here.journal.of(Event.SESSION)))
        line = here.journal.one(Event.SESSION)
        assert (line["client"], line["errors"]) == ("127.0.0.3", 1)
        assert "proxy" not in line


async def test_who_waits_for_a_header_counts_as_a_session(mock_clock: MockClock) -> None:
    async with (
        stage(balancers=BALANCERS) as here,
        listening(here, most=1) as (where, sessions),
        client(where, source="127.0.0.2"),
        client(where) as other,
    ):
        await until(lambda: len(sessions) == 1)
        await here.pass_time(PAUSE)
        assert len(sessions) == 1
        await here.pass_time(here.service.settings.limits.proxy_header_time)
        await until(lambda: bool(here.journal.of(Event.SESSION)))
        await here.pass_time(PAUSE)
        assert await heard(other) == [220]
        await other.leave("closed")


SMALL = QuotaSettings(connections=2, connections_per_minute=4, exempt=())


@contextlib.asynccontextmanager
async def counting(settings: QuotaSettings = SMALL) -> AsyncIterator[tuple[Stage, Endpoint, Quotas]]:
    """A listener that counts its clients. At the end nobody may be counted as inside."""
    quotas = Quotas(settings)
    async with stage(balancers=BALANCERS, quotas=quotas) as here, listening(here) as (where, _):
        yield here, where, quotas
    assert quotas.inside == 0


async def test_a_client_has_so_many_connections_and_no_more(mock_clock: MockClock) -> None:
    async with counting() as (here, where, _), client(where) as first, client(where) as second:
        assert [await heard(first), await heard(second)] == [[220], [220]]
        async with client(where) as third, client(where, source="127.0.0.5") as other:
            (refusal,) = await third.hear_the_end()
            assert refusal.octets.startswith(b"421 4.7.0 Too many connections from your address")
            assert await heard(other) == [220]
        line = here.journal.of(Event.SESSION)[0]
        assert refusal.octets.endswith(f"[{line['session']}]\r\n".encode())
        assert (line["client"], line["ended"], line["by"], line["commands"]) == ("127.0.0.1", "refused", "quotas", 0)
        assert (line["origins"], line["refused"]) == ({"quotas": 1}, 1)
        assert line["findings"] == [
            {
                "check": "quotas",
                "stage": "connect",
                "reason": "connections",
                "action": "defer",
                "network": "127.0.0.1",
                "limit": 2,
            }
        ]
        await first.leave("closed")
        await until(lambda: len(here.journal.of(Event.SESSION)) == 3)
        async with client(where) as fourth:
            assert await heard(fourth) == [220]


async def test_a_client_connects_so_often_a_minute_and_no_more(mock_clock: MockClock) -> None:
    async with counting() as (here, where, _):
        for _ in range(4):
            async with client(where) as one:
                assert await heard(one) == [220]
                await one.say(b"QUIT\r\n")
                await one.hear_the_end()
        await until(lambda: len(here.journal.of(Event.SESSION)) == 4)
        async with client(where) as one:
            assert [reply.octets[:13] for reply in await one.hear_the_end()] == [b"421 4.7.0 Too"]
        await until(lambda: len(here.journal.of(Event.SESSION)) == 5)
        findings = here.journal.of(Event.SESSION)[-1]["findings"]
        assert isinstance(findings, list)
        assert [(finding["reason"], finding["limit"]) for finding in findings] == [("rate", 4)]
        await here.pass_time(15.1)
        async with client(where) as one:
            assert await heard(one) == [220]


async def test_who_comes_through_a_balancer_is_counted_by_its_own_address(mock_clock: MockClock) -> None:
    async with counting() as (_, where, quotas), contextlib.AsyncExitStack() as clients:
        codes = []
        for source in (b"192.0.2.9", b"192.0.2.9", b"192.0.2.9", b"192.0.2.8"):
            one = await clients.enter_async_context(client(where, source="127.0.0.2"))
            await one.say(HEADER.replace(b"192.0.2.9", source))
            codes += await heard(one)
        assert codes == [220, 220, 421, 220]
        assert quotas.inside == 3


async def test_who_is_refused_and_does_not_leave_holds_nothing(mock_clock: MockClock) -> None:
    async with counting() as (here, where, _), contextlib.AsyncExitStack() as clients:
        many = [await clients.enter_async_context(client(where)) for _ in range(20)]
        assert sorted([code for one in many for code in await heard(one)]) == [220] * 2 + [421] * 18
        await until(lambda: len(here.journal.of(Event.SESSION)) == 18)


async def test_a_session_that_crashes_is_not_counted_for_ever(mock_clock: MockClock) -> None:
    async with counting() as (here, where, quotas):
        here.journal.before[Event.SESSION] = broken
        async with client(where) as one:
            assert await heard(one) == [220]
            await one.say(b"QUIT\r\n")
            await one.hear_the_end()
        await until(lambda: quotas.inside == 0)


async def test_what_lay_in_the_socket_before_the_banner_was_said_too_early(mock_clock: MockClock) -> None:
    async with stage() as here, contextlib.AsyncExitStack() as clients:
        sock = listen(Endpoint("127.0.0.1", 0))
        early, patient = [await clients.enter_async_context(client(bound(sock))) for _ in range(2)]
        await early.say(b"EHLO client.example\r\n")
        await quiet()
        async with listening(here, sock):
            assert [await heard(early), await heard(patient)] == [[220], [220]]
            for one in (patient, early):
                await one.say(b"QUIT\r\n")
                await one.hear_the_end()
            await until(lambda: len(here.journal.of(Event.SESSION)) == 2)
            found = [line["findings"] for line in here.journal.of(Event.SESSION)]
            note = {
                "check": "early_talker",
                "stage": "connect",
                "reason": "early_talker",
                "action": "observe",
                "before": "connect",
            }
            assert found == [[], [note]]


async def test_who_talks_while_the_banner_is_held_back(mock_clock: MockClock) -> None:
    async with (
        stage(settings=replace(SETTINGS, banner_delay=6.0)) as here,
        listening(here) as (where, sessions),
        client(where) as early,
        client(where) as patient,
    ):
        await until(lambda: len(sessions) == 2)
        await here.pass_time(3.0)
        await early.say(b"EHLO client.example\r\n")
        assert await heard(early) == [220]
        await here.pass_time(2.9)
        for session in sessions:
            session.sweep(trio.current_time())
        await here.pass_time(0.2)
        for session in sessions:
            session.sweep(trio.current_time())
        assert await heard(patient) == [220]
        await patient.say(b"QUIT\r\n")
        await patient.hear_the_end()
        await until(lambda: len(sessions) == 1)
        assert here.journal.one(Event.SESSION)["findings"] == []


def _overload(most: int = 10, *, seconds: int = 0, lag: float = 0.0) -> Overload:
    """One that has seen so many seconds with a hundred sessions."""
    overload = Overload(OverloadSettings(), most)
    for now in range(seconds):
        overload.take(Reading(float(now), 100, lag))
    return overload


FRIENDS = Exemption(Match((ip_network("127.0.0.3/32"),)))
"""Whom we know."""


async def test_strangers_are_turned_away_before_those_we_know(mock_clock: MockClock) -> None:
    policy = Policy((), exemptions=(FRIENDS,))
    async with (
        stage(policy=policy, overload=_overload(2)) as here,
        listening(here) as (where, sessions),
        client(where) as first,
        client(where) as second,
    ):
        assert [await heard(first), await heard(second)] == [[220], [220]]
        async with client(where, source="127.0.0.3") as friend:
            assert await heard(friend) == [220]
            async with client(where, source="127.0.0.4") as stranger:
                (reply,) = await stranger.hear(1)
                assert reply.text.startswith("4.3.2 Too busy for new clients; try again in a few minutes [")
                assert await stranger.hear_the_end() == []
            await until(lambda: len(sessions) == 3)
        line = here.journal.of(Event.SESSION)[0]
        assert (line["client"], line["ended"], line["by"]) == ("127.0.0.4", "refused", "overload")
        found = {"check": "overload", "stage": "connect", "reason": "stranger", "action": "defer"}
        assert line["findings"] == [{**found, "sessions": 4, "room": 2}]


async def test_whom_we_know_may_make_errors_as_ever(mock_clock: MockClock) -> None:
    overload = _overload()
    overload.stress.on = True
    options = protocol_errors.ProtocolErrorsOptions(hurried=1)
    policy = Policy((Check(protocol_errors.CHECK, options),), exemptions=(FRIENDS,))
    async with (
        stage(policy=policy, overload=overload) as here,
        listening(here) as (where, _),
        client(where) as stranger,
        client(where, source="127.0.0.3") as friend,
    ):
        for one, codes in ((stranger, [220, 500, 421]), (friend, [220, 500, 500])):
            await one.say(b"XYZZY\r\nXYZZY\r\n")
            assert [reply.code for reply in await one.hear(3)] == codes


async def test_who_is_turned_away_counts_for_no_quota(mock_clock: MockClock) -> None:
    quotas = Quotas(QuotaSettings(exempt=()))
    async with (
        stage(quotas=quotas, overload=_overload(1)) as here,
        listening(here) as (where, _),
        client(where) as first,
        client(where) as second,
    ):
        assert sorted([*await heard(first), *await heard(second)]) == [220, 421]
        assert quotas.inside == 1


async def test_a_balancer_that_looks_after_us_is_no_stranger(mock_clock: MockClock) -> None:
    async with (
        stage(balancers=BALANCERS, overload=_overload(1)) as here,
        listening(here) as (where, _),
        client(where) as one,
        client(where, source="127.0.0.2") as checks,
        client(where, source="127.0.0.2") as stranger,
    ):
        assert await heard(one) == [220]
        await checks.say(b"PROXY UNKNOWN\r\n")
        await stranger.say(HEADER)
        assert [await heard(checks), await heard(stranger)] == [[220], [421]]


async def test_nobody_is_accepted_while_nothing_more_can_be_done(mock_clock: MockClock) -> None:
    overload = _overload(1000, seconds=5, lag=60.0)
    async with stage(overload=overload) as here, listening(here) as (where, sessions), client(where) as one:
        await here.pass_time(PAUSE)
        assert sessions == set()
        assert here.journal.one(Event.ACCEPT_PAUSED)["reason"] == "overload: no more can be done"
        overload.take(Reading(5.0, 0))
        await here.pass_time(PAUSE)
        assert await heard(one) == [220]
        assert len(here.journal.of(Event.ACCEPT_RESUMED)) == 1
