"""Bad input over real sockets: whatever a client sends or fails to send, the proxy lives and the next mail passes.

After each case: every session has its one line, nothing crashed, no client saw anything of our insides, what the log
calls delivered is what the backend took, and an honest mail is delivered. Issue 2, section 4.
"""

import random
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
import trio

from smtproxy.sample.script import Script
from smtproxy.session.limits import LIMITS
from smtproxy.session.records import Event
from smtproxy.session.settings import BodyMode, RelaySettings
from tests.fakes.heard import Heard
from tests.network.honest import honest_mail
from tests.network.world import Client, World, clock, connected, settled, world

SETTINGS = RelaySettings("mx.example.org")
HELLO = b"EHLO client.example\r\n"
ENVELOPE = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@example.org>\r\n"
MEGABYTE = 1 << 20
PIECE = b"x" * 65536

Bad = Callable[[Client], Awaitable[list[Heard]]]
"""What a client does behind the banner; returns all that it heard."""


def survives(bad: Bad, settings: RelaySettings = SETTINGS, **options: int) -> World:
    """Let a client be bad, then check what must hold; -> what is left of that world."""

    async def main() -> World:
        async with world(settings, Script(), **options) as place:
            async with connected(place) as client:
                heard = await bad(client)
            await settled(place)
            assert len(place.pages.of(Event.SESSION)) == 1
            check(place, heard)
            await honest_mail(place)
        return place

    return trio.run(main, clock=clock())


def check(place: World, heard: list[Heard]) -> None:
    """What holds after each bad session."""
    assert place.pages.of(Event.CRASH) == []
    assert place.record.violations == []
    said = b"".join(reply.octets for reply in heard)
    assert not [word for word in (b"Traceback", b'File "', b"Error:", b".py") if word in said]
    messages = place.pages.of(Event.MESSAGE)
    assert len(messages) == sum(int(str(line["transactions"])) for line in place.pages.of(Event.SESSION))
    assert len(place.record.accepted) == [line["outcome"] for line in messages].count("delivered")


def says(octets: bytes, *codes: int, ends: bool = False) -> Bad:
    """A client that says something and hears so many replies; `ends`: then the proxy hangs up."""

    async def bad(client: Client) -> list[Heard]:
        await client.say(octets)
        heard = await client.hear(len(codes))
        assert [reply.code for reply in heard] == list(codes)
        if ends:
            assert await client.hear_the_end() == []
        else:
            await client.say(b"QUIT\r\n")
            rest = await client.hear_the_end()
            assert [reply.code for reply in rest] == [221]
        return heard

    return bad


@dataclass(frozen=True, slots=True)
class Case:
    """Something said, and what is answered."""

    octets: bytes
    codes: tuple[int, ...]
    ends: bool = False


CASES = {
    "overlong line": Case(b"NOOP " + b"x" * 5000 + b"\r\n", (500,)),
    "empty lines": Case(b"\r\n\n \r\n", (500, 500, 500)),
    "NUL": Case(b"NO\0OP\r\n\0\r\n", (500, 500)),
    "8-bit": Case(b"\xe4\xf6\xfc\r\nMAIL FROM:<\xe4@client.example>\r\n", (500, 500)),
    "telnet": Case(b"\xff\xfb\x1f\xff\xfb\x20\xff\xf4\xff\xfd\x06\r\n", (500,)),
    "escape sequences": Case(b"\x1b[2J\x1b]0;x\x07\r\nNOOP\x08\x08\r\n", (500, 500)),
    "bare CR": Case(b"NOOP\rNOOP\r\n", (500,)),
    "out of order": Case(b"DATA\r\n", (503,)),
    "out of order, more": Case(ENVELOPE + b"RSET\r\n" + HELLO + b"RCPT TO:<user@example.org>\r\n", (503, 503, 250, 250, 503)),
    "commands of others": Case(b"XEXCH50 1 2\r\nXCLIENT ADDR=1\r\nLHLO x\r\nTURN\r\n", (500, 500, 500, 502)),
    "HTTP": Case(b"GET / HTTP/1.1\r\nHost: mx.example.org\r\n\r\n", (500,), ends=True),
    "HTTP with a mail in it": Case(b"POST / HTTP/1.1\r\n\r\n" + HELLO + ENVELOPE + b"DATA\r\nx\r\n.\r\n", (500,), ends=True),
    "TLS in the clear": Case(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), (500,), ends=True),
    "talk behind QUIT": Case(HELLO + b"QUIT\r\n" + ENVELOPE, (250, 221), ends=True),
    "text behind a refused DATA": Case(HELLO + b"DATA\r\n" + ENVELOPE + b"DATA\r\nx\r\n.\r\n", (250, 554), ends=True),
    "endless NOOP": Case(b"NOOP\r\n" * 10_000, (250,) * 120 + (421,), ends=True),
    "endless RSET": Case(HELLO + b"RSET\r\n" * 10_000, (250,) * 121 + (421,), ends=True),
    "errors without end": Case(b"FOO\r\n" * 1000, (500,) * 20 + (421,), ends=True),
    "a verb of 2 KB": Case(b"X" * 2000 + b"\r\n", (500,)),
    "a path of 3 KB": Case(HELLO + b"MAIL FROM:<" + b"x" * 3000 + b"@client.example>\r\n", (250, 501)),
    "1000 parameters": Case(HELLO + b"MAIL FROM:<a@client.example>" + b" X=1" * 1000 + b"\r\n", (250, 501)),
    "500 source routes": Case(HELLO + b"MAIL FROM:<" + b"@a.example," * 300 + b"@b.example:a@client.example>\r\n", (250, 501)),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_commands(name: str) -> None:
    case = CASES[name]
    survives(says(case.octets, *case.codes, ends=case.ends))


@pytest.mark.parametrize("seed", range(20))
def test_noise(seed: int) -> None:
    chance = random.Random(seed)
    alphabet = bytes(range(256)) if seed % 2 else b"MAILFROMRCPTTODATA:<>@. \r\n\r\n\r\n"
    noise = bytes(chance.choices(alphabet, k=20_000))

    async def bad(client: Client) -> list[Heard]:
        await client.say(noise)
        await client.stream.send_eof()
        return await client.hear_the_end()

    survives(bad)


def test_a_hundred_thousand_recipients() -> None:
    flood = HELLO + b"MAIL FROM:<a@client.example>\r\n" + b"".join(b"RCPT TO:<u%d@example.org>\r\n" % n for n in range(100_000))

    async def bad(client: Client) -> list[Heard]:
        await client.say(flood)
        return await client.hear_the_end()

    place = survives(bad, replace(SETTINGS, max_recipients=200))
    (message, _) = place.pages.of(Event.MESSAGE)
    assert message["recipients_total"] == 200
    assert len(message["recipients"]) == LIMITS.logged_recipients  # type: ignore[arg-type]
    assert place.pages.of(Event.SESSION)[0]["ended"] == "errors"


def test_many_megabytes_without_a_newline_where_a_command_is_due() -> None:
    async def bad(client: Client) -> list[Heard]:
        heard = await client.hear(0)
        with kept_small():
            for _ in range(20 * MEGABYTE // len(PIECE)):
                await client.say(PIECE)
            heard += await client.hear_the_end()
        return heard

    place = survives(bad)
    assert place.pages.of(Event.SESSION)[0]["ended"] == "endless_line"


@pytest.mark.parametrize("mode", BodyMode)
def test_many_megabytes_without_a_newline_in_a_body(mode: BodyMode) -> None:
    async def bad(client: Client) -> list[Heard]:
        await client.say(HELLO + ENVELOPE + b"DATA\r\n")
        heard = await client.hear(4)
        with kept_small():
            for _ in range(20 * MEGABYTE // len(PIECE)):
                await client.say(PIECE)
            # What the proxy has of it is seen while the session lives: the client is told nothing yet.
            await trio.sleep(1)
        await client.say(b"\r\n.\r\nQUIT\r\n")
        return heard + await client.hear_the_end()

    place = survives(bad, replace(SETTINGS, body=mode))
    assert [message["outcome"] for message in place.pages.of(Event.MESSAGE)] == ["delivered", "delivered"]
    assert place.record.accepted[0].octets > 20 * MEGABYTE


class kept_small:  # noqa: N801 - reads as a statement
    """Asserts that the product's own code holds no more than a few MB at the end of the block."""

    def __enter__(self) -> None:
        tracemalloc.start()

    def __exit__(self, *_: object) -> None:
        snapshot = tracemalloc.take_snapshot()
        tracemalloc.stop()
        ours = [tracemalloc.Filter(inclusive=True, filename_pattern=f"*/smtproxy/{floor}/*") for floor in ("wire", "session", "network")]
        assert sum(statistic.size for statistic in snapshot.filter_traces(ours).statistics("filename")) < 3 * MEGABYTE
