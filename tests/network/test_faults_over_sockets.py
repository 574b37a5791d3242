"""The important schedules of the fault enumeration once more, over real sockets: only the clock is a fake."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
import trio

from smtproxy.sample.script import Close, Drip, Normal, Pause, Point, Reset, Rule, Script, Silence, Step, Store, reply
from smtproxy.session.limits import Limits
from smtproxy.session.records import Event
from smtproxy.session.settings import BodyMode, OpenMode, RelaySettings
from tests.network.world import ROOM, Client, Exchange, World, clock, connected, send, settled, until, world
from tests.session.enumeration.talk import Letter

_COMMIT_BY = 20.0
_LIMITS = Limits(body_memory=20_000, recipient_time=20.0)


def _settings(body: BodyMode, opening: OpenMode = OpenMode.RECIPIENT) -> RelaySettings:
    return RelaySettings("mx.example.org", body=body, open=opening, commit_by=_COMMIT_BY, limits=_LIMITS)


def _letter(number: int) -> Letter:
    """A letter of 60 kB in four pieces: `auto` streams it, `hold` puts it on disk."""
    text = (
        f"Message-ID: <{number}@client.example>\r\nX-Letter: {number}\r\n\r\n" + f"..line {number} of text\r\n" * 3000
    )
    octets = text.encode()
    parts = tuple(octets[at : at + 16_000] for at in range(0, len(octets), 16_000))
    return Letter(number, f"sender-{number}@client.example", ("one@example.org",), parts, octets, chunks=False)


_FIRST, _SECOND = _letter(1), _letter(2)


@dataclass(frozen=True, slots=True)
class Case:
    """What the backend does on its first connection, and what becomes of the first letter."""

    at: Point
    does: tuple[Step, ...]
    heard: int
    """The code that decides about the letter, as its client hears it."""
    outcome: str
    taken: int = 0
    """How often the backend took it."""
    octets: int = 0

    def __str__(self) -> str:
        return f"{self.at.value} {self.does} -> {self.heard}"


_CASES = (
    Case(Point.CONNECT, (Reset(),), 451, "deferred"),
    Case(Point.GREETING, (reply("554 5.0.0 no"),), 451, "deferred"),
    Case(Point.EHLO, (Close(),), 451, "deferred"),
    Case(Point.MAIL, (reply("421 4.3.2 bye"), Close()), 451, "deferred"),
    Case(Point.RCPT, (reply("550 5.1.1 unknown"),), 550, "rejected"),
    Case(Point.RCPT, (Silence(),), 451, "deferred"),
    Case(Point.DATA, (reply("452 4.3.1 full"),), 452, "deferred"),
    Case(Point.DATA, (reply("250 2.0.0 what"),), 451, "deferred"),
    Case(Point.FINAL, (reply("450 4.2.0 later"),), 450, "deferred"),
    Case(Point.FINAL, (reply("554 5.6.0 never"),), 554, "rejected"),
    Case(Point.FINAL, (reply("421 4.3.2 bye"), Close()), 451, "deferred"),
    Case(Point.FINAL, (Store(), Reset()), 451, "unknown", taken=1),
    Case(Point.FINAL, (Pause(_COMMIT_BY + 10.0), Normal()), 250, "delivered", taken=1),
    Case(Point.FINAL, (Drip(), Normal()), 250, "delivered", taken=1),
    Case(Point.FINAL, (Normal(), reply("250 2.6.0 stray")), 250, "delivered", taken=1),
)

# The backend speaks in mid-body. Held bodies are not among these: they leave at once, and the backend is too late.
_EARLY = (
    Case(Point.BODY, (Close(),), 451, "deferred", octets=30_000),
    Case(Point.BODY, (reply("552 5.3.4 enough"),), 552, "rejected", octets=30_000),
    Case(Point.BODY, (reply("421 4.3.2 bye"), Close()), 451, "deferred", octets=30_000),
    Case(Point.BODY, (reply("250 2.6.0 stray"),), 451, "deferred", octets=30_000),
)


def _play(
    body: BodyMode,
    script: Script,
    act: Callable[[World], Awaitable[None]],
    *,
    opening: OpenMode = OpenMode.RECIPIENT,
    places: int = 16,
    warm: int = 0,
    disk: int = ROOM,
) -> None:
    async def main() -> None:
        async with world(_settings(body, opening), script, places=places, warm=warm, disk=disk) as place:
            await act(place)
            await settled(place)
            _accounts_are_square(place, disk)

    trio.run(main, clock=clock())


def _accounts_are_square(place: World, disk: int) -> None:
    """Whatever happened: one line for each session and transaction, nothing is held, no terminator but by a commit."""
    sessions, messages = place.pages.of(Event.SESSION), place.pages.of(Event.MESSAGE)
    commits = place.pages.of(Event.COMMIT)
    transactions = [line["transaction"] for line in messages]
    assert len(transactions) == len(set(transactions)) == sum(int(str(line["transactions"])) for line in sessions)
    assert not place.pages.of(Event.CRASH)
    assert {line["transaction"] for line in commits} <= set(transactions)
    assert place.record.terminators <= len(commits)
    accepted = [line for line in messages if line["outcome"] in {"delivered", "unknown"}]
    assert len(place.record.accepted) <= len(accepted)
    assert place.service.memory.left == ROOM
    assert place.service.disk.left == disk
    assert place.service.pool.servers[0].open == len(place.service.pool.warm)


def _decisive(exchanges: list[Exchange], number: int) -> int:
    """The reply that decides about a letter: the first refusal, else the one to its dot."""
    codes = [heard.code for command, heard in exchanges if command.letter == number and heard is not None]
    return next((code for code in codes if code >= 400), codes[-1])


@pytest.mark.parametrize("case", _CASES, ids=str)
@pytest.mark.parametrize("body", [BodyMode.AUTO, BodyMode.HOLD, BodyMode.STREAM], ids=lambda body: body.value)
def test_the_backend_does_what_it_should_not(case: Case, body: BodyMode) -> None:
    _one_bad_connection(case, body)


@pytest.mark.parametrize("case", _EARLY, ids=str)
@pytest.mark.parametrize("body", [BodyMode.AUTO, BodyMode.STREAM], ids=lambda body: body.value)
def test_the_backend_speaks_in_mid_body(case: Case, body: BodyMode) -> None:
    _one_bad_connection(case, body)


def test_the_end_of_data_timer_alone_ends_the_wait_for_the_final_reply() -> None:
    _one_bad_connection(Case(Point.FINAL, (Silence(),), 451, "unknown"), BodyMode.AUTO)


def _one_bad_connection(case: Case, body: BodyMode) -> None:
    transactions = () if case.at in {Point.CONNECT, Point.GREETING, Point.EHLO} else (1,)
    rule = Rule(case.at, case.does, octets=case.octets, connections=(1,), transactions=transactions)

    async def act(place: World) -> None:
        exchanges = await send(place, _FIRST, _SECOND, pause=1.5 if case.octets else 0.0)
        assert _decisive(exchanges, 1) == case.heard
        assert len(place.taken(_FIRST)) == case.taken
        await settled(place)
        first = place.pages.of(Event.MESSAGE)[0]
        assert (first["outcome"], first["client_heard"]) == (case.outcome, True)
        assert _decisive(exchanges, 2) == 250
        assert [one.wire.endswith(_SECOND.body) for one in place.taken(_SECOND)] == [True]

    _play(body, Script((rule,)), act)


async def _as_far_as(client: Client, parts: int, *, dot: bool = False) -> None:
    """Send the first letter until so many pieces of its body have left."""
    await client.say(b"EHLO client.example\r\n")
    await client.hear(1)
    await client.say(b"MAIL FROM:<sender-1@client.example>\r\nRCPT TO:<one@example.org>\r\nDATA\r\n")
    replies = await client.hear(3)
    assert [one.code for one in replies] == [250, 250, 354]
    await client.say(b"".join(_FIRST.parts[:parts]) + (b".\r\n" if dot else b""))


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("body", list(BodyMode), ids=lambda body: body.value)
def test_the_client_leaves_in_mid_body(body: BodyMode, how: str) -> None:
    async def act(place: World) -> None:
        async with connected(place) as client:
            await _as_far_as(client, 3)
            await client.leave(how)
        await settled(place)
        assert place.record.terminators == 0
        assert [line["outcome"] for line in place.pages.of(Event.MESSAGE)] == ["aborted"]

    _play(body, Script(), act)


# A FIN behind the dot is no sign of absence: the client may still read.
@pytest.mark.parametrize(("how", "heard"), [("closed", True), ("reset", False)])
@pytest.mark.parametrize("body", list(BodyMode), ids=lambda body: body.value)
def test_the_client_leaves_while_the_backend_thinks(body: BodyMode, how: str, heard: bool) -> None:
    thinks = Script((Rule(Point.FINAL, (Pause(30.0), Normal())),))

    async def act(place: World) -> None:
        async with connected(place) as client:
            await _as_far_as(client, len(_FIRST.parts), dot=True)
            await until(lambda: bool(place.pages.of(Event.COMMIT)))
            await client.leave(how)
        await settled(place)
        line = place.pages.of(Event.MESSAGE)[0]
        assert (line["outcome"], line["client_heard"]) == ("delivered", heard)
        assert len(place.taken(_FIRST)) == 1

    _play(body, thinks, act)


@pytest.mark.parametrize("body", list(BodyMode), ids=lambda body: body.value)
def test_dot_quit_and_fin_in_one_packet_are_served(body: BodyMode) -> None:
    async def act(place: World) -> None:
        async with connected(place) as client:
            await _as_far_as(client, len(_FIRST.parts))
            await client.say(b".\r\nQUIT\r\n")
            await client.stream.send_eof()
            assert [one.code for one in await client.hear(2)] == [250, 221]
            await client.hear_the_end()
        assert len(place.taken(_FIRST)) == 1

    _play(body, Script(), act)


def test_a_full_disk_loses_nothing() -> None:
    async def act(place: World) -> None:
        exchanges = await send(place, _FIRST)
        assert _decisive(exchanges, 1) == 452
        assert not place.record.accepted

    _play(BodyMode.HOLD, Script(), act, disk=1_000)


def test_no_place_is_a_temporary_refusal_and_a_lease_gives_one_back() -> None:
    async def act(place: World) -> None:
        async with connected(place) as holder:
            await holder.say(b"EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<one@example.org>\r\n")
            assert (await holder.hear(3))[-1].code == 250
            exchanges = await send(place, _SECOND)
            assert _decisive(exchanges, 2) == 250
            await holder.say(b"DATA\r\n")
            assert (await holder.hear(1))[0].code == 354
            await holder.say(_FIRST.body + b".\r\nQUIT\r\n")
            assert [one.code for one in await holder.hear(2)] == [250, 221]
            await holder.hear_the_end()
        assert len(place.taken(_FIRST)) == len(place.taken(_SECOND)) == 1

    _play(BodyMode.AUTO, Script(), act, places=1)


@pytest.mark.parametrize("opening", list(OpenMode), ids=lambda opening: opening.value)
def test_a_warm_connection_that_ended_costs_no_mail(opening: OpenMode) -> None:
    # The server hangs up a moment after its first message; the proxy may or may not know when the next one comes.
    hangs_up = Script((Rule(Point.FINAL, (Normal(), Pause(1.0), Close()), connections=(1,)),))

    async def act(place: World) -> None:
        for letter in (_FIRST, _SECOND):
            exchanges = await send(place, letter)
            assert _decisive(exchanges, letter.number) == 250
            await settled(place)
        assert len(place.taken(_FIRST)) == len(place.taken(_SECOND)) == 1

    _play(BodyMode.AUTO, hangs_up, act, opening=opening, warm=2)
