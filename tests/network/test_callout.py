"""Call-outs: what is said to the server, what is made of its faults, and who gets the place afterwards."""

import contextlib
import pathlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from smtproxy.network import callout
from smtproxy.network.callout import IDLE, REFUSALS, CalloutError, Callouts, random_recipient
from smtproxy.sample.profile import Profile
from smtproxy.sample.profiles import EXCHANGE, EXCHANGE_SERIAL, HELO_ONLY, POSTFIX
from smtproxy.sample.script import Close, Normal, Point, Reset, Rule, Script, Silence, reply
from smtproxy.session.limits import LIMITS
from smtproxy.session.records import Event
from smtproxy.session.settings import BackendTls
from smtproxy.wire.paths import Path
from tests.network.stage import PATIENT, Stage, deserted, no_descriptors_left, quiet, stage, until
from tests.network.test_backends_under_tls import tls_stage

ANNA, BOB, NOBODY = (Path(local, "example.org") for local in ("anna", "bob", "nobody"))
REFUSED = Rule(Point.RCPT, (reply("550 5.1.1 no such user"),), nth=2)
"""Of each transaction the second recipient."""
WAIT = 8.0


@contextlib.asynccontextmanager
async def callouts(here: Stage, connections: int = 2) -> AsyncIterator[Callouts]:
    """Callouts to the backend of a stage; at the end of it they hold nothing."""
    asking = Callouts(here.pool, "mx.example.org", LIMITS, here.journal, connections)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asking.run)
        yield asking
        nursery.cancel_scope.cancel()


async def codes(asking: Callouts, *recipients: Path) -> list[int]:
    """Ask; -> the codes of the replies."""
    return [one.code for one in await asking.ask(recipients, trio.current_time() + WAIT)]


async def trouble(asking: Callouts, *recipients: Path) -> str:
    """Ask in vain; -> why."""
    with pytest.raises(CalloutError) as failed:
        await asking.ask(recipients or (ANNA,), trio.current_time() + WAIT)
    return str(failed.value)


@pytest.mark.parametrize(
    "profile", [PATIENT, EXCHANGE_SERIAL, POSTFIX, HELO_ONLY], ids=["exchange", "serial", "postfix", "helo"]
)
async def test_no_mail_is_begun_that_is_not_taken_back(mock_clock: MockClock, profile: Profile) -> None:
    async with stage(Script((REFUSED,)), profile=profile) as here, callouts(here) as asking:
        assert await codes(asking, ANNA, NOBODY) == [250, 550]
        assert await codes(asking, BOB) == [250]
        (connection,) = here.record.connections
        assert connection.commands[-7:] == [
            b"MAIL FROM:<>",
            b"RCPT TO:<anna@example.org>",
            b"RCPT TO:<nobody@example.org>",
            b"RSET",
            b"MAIL FROM:<>",
            b"RCPT TO:<bob@example.org>",
            b"RSET",
        ]
        assert here.record.violations == []


async def test_a_connection_waits_a_moment_for_the_next_question(mock_clock: MockClock) -> None:
    async with stage() as here, callouts(here) as asking:
        assert await codes(asking, ANNA) == [250]
        assert here.server.open == 1
        await here.pass_time(IDLE)
        await until(lambda: here.server.open == 0)
        await until(lambda: bool(here.record.connections[0].ended))
        assert here.record.connections[0].verbs[-1] == "QUIT"
        assert await codes(asking, ANNA) == [250]
        assert len(here.record.connections) == 2


async def test_a_session_that_waits_gets_the_place_of_an_idle_one(mock_clock: MockClock) -> None:
    async with stage(places=1) as here, callouts(here) as asking:
        assert await codes(asking, ANNA) == [250]
        guest = await here.enter()
        await guest.says_hello()
        await guest.client.say(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<anna@example.org>\r\n")
        await until(lambda: here.pool.waiting == 1)
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        clock.jump(2.0)
        here.pool.press(trio.current_time())
        assert [one.code for one in await guest.client.hear(2)] == [250, 250]


async def test_questions_share_connections_and_wait_for_them(mock_clock: MockClock) -> None:
    held = Rule(Point.RCPT, (Silence(),), connections=(1,))
    async with stage(Script((held,))) as here, callouts(here, 1) as asking, trio.open_nursery() as nursery:
        found: list[str] = []

        async def ask_in_vain() -> None:
            found.append(await trouble(asking))

        nursery.start_soon(ask_in_vain)
        await until(lambda: any("RCPT" in one.verbs for one in here.record.connections))
        nursery.start_soon(ask_in_vain)
        await here.pass_time(WAIT)
        await until(lambda: len(found) == 2)
        assert sorted(found) == ["no answer in time", "no connection was free in time"]
        await until(lambda: here.server.open == 0)
        assert await codes(asking, ANNA) == [250]
        assert len(here.record.connections) == 2


async def test_a_question_is_asked_that_comes_while_the_last_connection_goes(mock_clock: MockClock) -> None:
    """It gave up waiting, and was not gone: nobody made another one, and the question waited for its end."""
    async with stage(places=1) as here, callouts(here, 1) as asking:
        assert await codes(asking, ANNA) == [250]
        await quiet()
        (place,) = here.pool._holders.values()
        assert place.holder is not None
        place.holder.recall()
        assert await codes(asking, BOB) == [250]
        assert len(here.record.connections) == 2


async def test_it_ends_with_questions_that_wait(mock_clock: MockClock) -> None:
    """A worker that was told to drain while it asked went round for ever."""
    held = Script((Rule(Point.RCPT, (Silence(),)),))
    async with stage(held) as here, trio.open_nursery() as nursery:
        asking = Callouts(here.pool, "mx.example.org", LIMITS, here.journal, 1)
        async with trio.open_nursery() as running:
            running.start_soon(asking.run)
            for _ in range(2):
                nursery.start_soon(trouble, asking)
                await until(lambda: any("RCPT" in one.verbs for one in here.record.connections))
            await quiet()
            running.cancel_scope.cancel()
        assert here.server.open == 0
        await here.pass_time(WAIT)


async def test_too_many_questions_are_not_asked(mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callout, "MOST_WAITING", 1)
    held = Script((Rule(Point.RCPT, (Silence(),)),))
    async with stage(held) as here, callouts(here, 1) as asking, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(trouble, asking)
            await until(lambda: any("RCPT" in one.verbs for one in here.record.connections))
        await quiet()
        assert await trouble(asking) == "too many others wait for an answer"
        await here.pass_time(WAIT)


async def test_whoever_gave_up_is_not_asked_for(mock_clock: MockClock) -> None:
    held = Rule(Point.RCPT, (Silence(),), connections=(1,))
    async with stage(Script((held,))) as here, callouts(here, 1) as asking:
        with trio.move_on_at(trio.current_time() + 1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asking.ask, (ANNA,), trio.current_time() + WAIT)
                await until(lambda: here.server.open == 1)
                nursery.start_soon(asking.ask, (BOB,), trio.current_time() + WAIT)
                await here.pass_time(1)
                await trio.sleep_forever()
        await here.pass_time(WAIT)
        await until(lambda: here.server.open == 0)
        assert await codes(asking, NOBODY) == [250]
        assert not any(b"bob" in command for one in here.record.connections for command in one.commands)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (Rule(Point.MAIL, (reply("530 5.7.1 authenticate"),)), "MAIL FROM:<> was answered 530 5.7.1 authenticate"),
        (Rule(Point.MAIL, (reply("421 4.3.2 later"), Close())), "421 4.3.2 later"),
        (Rule(Point.RCPT, (reply("421 4.3.2 later"), Close())), "421 4.3.2 later"),
        (Rule(Point.RCPT, (Close(),)), "the server closed the connection"),
        (Rule(Point.RCPT, (Reset(),)), "the connection broke: Connection reset by peer"),
        (
            Rule(Point.RCPT, (reply("250 OK"), reply("250 OK"))),
            "the server spoke out of turn: a reply nobody waited for",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
async def test_a_server_that_does_not_say(mock_clock: MockClock, rule: Rule, why: str) -> None:
    once = replace(rule, connections=(1,))
    async with stage(Script((once,)), profile=replace(PATIENT)) as here, callouts(here) as asking:
        assert await trouble(asking) == why
        assert here.server.open == 0
        assert not here.server.down
        assert await codes(asking, ANNA) == [250]


async def test_a_server_that_is_not_there_is_not_asked_again_and_the_next_one_is(mock_clock: MockClock) -> None:
    async with stage(deserted(), Script()) as here, callouts(here) as asking:
        assert await codes(asking, ANNA) == [250]
        assert here.server.down
        assert here.journal.one(Event.BACKEND_DOWN)["server"] == here.server.name


async def test_nobody_is_there(mock_clock: MockClock) -> None:
    async with stage(deserted()) as here, callouts(here) as asking:
        assert await trouble(asking) == f"{here.server.name}: Connection refused"


async def test_a_server_that_turns_us_away(mock_clock: MockClock) -> None:
    script = Script((Rule(Point.GREETING, (reply("554 5.7.1 go away"), Close())),))
    async with stage(script) as here, callouts(here) as asking:
        assert await trouble(asking) == f"{here.server.name}: 554 5.7.1 go away"


async def test_no_place_in_time(mock_clock: MockClock) -> None:
    async with stage(places=1) as here, callouts(here) as asking, trio.open_nursery() as nursery:
        guest = await here.enter()
        await guest.begins()
        found: list[str] = []

        async def ask_in_vain() -> None:
            found.append(await trouble(asking))

        nursery.start_soon(ask_in_vain)
        await until(lambda: here.pool.waiting == 1)
        await here.pass_time(WAIT)
        await until(lambda: bool(found))
        assert here.pool.waiting == 0
        await guest.client.say(b"Subject: x\r\n\r\n.\r\n")
        assert [one.code for one in await guest.client.hear(1)] == [250]
        await guest.quits()


async def test_a_connection_that_had_its_refusals_ends(mock_clock: MockClock) -> None:
    script = Script((Rule(Point.RCPT, (reply("550 5.1.1 no such user"),)),))
    async with stage(script) as here, callouts(here, 1) as asking:
        for _ in range(REFUSALS + 1):
            assert await codes(asking, NOBODY) == [550]
        assert [one.verbs.count("RCPT") for one in here.record.connections] == [REFUSALS, 1]


async def test_an_address_of_other_letters(mock_clock: MockClock) -> None:
    anna = Path("änna", "example.org")
    async with stage() as here, callouts(here) as asking:
        assert await codes(asking, anna) == [250]
        assert b"MAIL FROM:<> SMTPUTF8" in here.record.connections[0].commands
    async with stage(profile=replace(EXCHANGE, ehlo=("PIPELINING",))) as here, callouts(here) as asking:
        assert await trouble(asking, anna) == "the address needs SMTPUTF8, which the server lacks"


@pytest.mark.parametrize("security", [BackendTls.OPPORTUNISTIC, BackendTls.REQUIRE, BackendTls.VERIFY])
async def test_under_tls(mock_clock: MockClock, tmp_path: pathlib.Path, security: BackendTls) -> None:
    async with tls_stage(tmp_path, security=security) as here, callouts(here) as asking:
        assert await codes(asking, ANNA) == [250]
        assert here.record.connections[0].verbs == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "RSET"]
        assert here.record.violations == []


@pytest.mark.parametrize(
    ("security", "verbs"),
    [(BackendTls.OPPORTUNISTIC, ["EHLO", "MAIL", "RCPT", "RSET"]), (BackendTls.REQUIRE, [])],
)
async def test_in_clear_text_where_that_may_be(
    mock_clock: MockClock, tmp_path: pathlib.Path, security: BackendTls, verbs: list[str]
) -> None:
    script = Script((Rule(Point.STARTTLS, (Normal(), Close())),))
    async with tls_stage(tmp_path, script, security=security) as here, callouts(here) as asking:
        if verbs:
            assert await codes(asking, ANNA) == [250]
            assert here.server.clear
        else:
            assert (await trouble(asking)).startswith(f"{here.server.name}: TLS: ")
        assert [one.verbs for one in here.record.connections[1:]] == ([verbs] if verbs else [])


async def test_no_descriptor_is_no_fault_of_the_server(mock_clock: MockClock) -> None:
    async with stage() as here, callouts(here) as asking:
        with no_descriptors_left():
            assert await trouble(asking) == "no file descriptor is left"
        assert not here.server.down


async def test_a_bug_ends_one_question(mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise ZeroDivisionError

    async with stage() as here, callouts(here) as asking:
        with monkeypatch.context() as patched:
            patched.setattr(callout, "compose_rcpt", broken)
            assert await trouble(asking) == "crashed"
        assert here.journal.one(Event.CRASH)["where"] == "call-out"
        assert await codes(asking, ANNA) == [250]


async def test_nobody_is_asked_before_it_runs(mock_clock: MockClock) -> None:
    async with stage() as here:
        asking = Callouts(here.pool, "mx.example.org", LIMITS, here.journal, 1)
        with pytest.raises(CalloutError, match="no connection was free in time"):
            await asking.ask([ANNA], trio.current_time())


def test_a_random_recipient_is_another_one_each_time() -> None:
    one, other = random_recipient("example.org"), random_recipient("example.org")
    assert one.domain == "example.org"
    assert one.local != other.local
