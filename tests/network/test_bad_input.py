"""Bad input over real sockets, octets first: whatever a client says, the proxy lives and the next mail passes.

Issue 2, section 4. What clients fail to do is in `test_bad_manners.py`, what else may go wrong in `test_bad_days.py`.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import trio

from smtproxy.session.limits import LIMITS
from smtproxy.session.records import Event
from smtproxy.session.settings import BodyMode
from tests.fakes.heard import Heard
from tests.network.survival import ENVELOPE, HELLO, MEGABYTE, SETTINGS, little_memory, survives
from tests.network.world import Client

PIECE = b"x" * 65536
_MAIL = b"MAIL FROM:<"
_RCPT = b"RCPT TO:<user@example.org>\r\n"
_DATA = b"DATA\r\nx\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class Case:
    """Something said, and the codes of the answers."""

    octets: bytes
    codes: tuple[int, ...]
    ends: bool = False
    """The proxy hangs up behind the last one."""


CASES = {
    "overlong line": Case(b"NOOP " + b"x" * 5000 + b"\r\n", (500,)),
    "empty lines": Case(b"\r\n\n \r\n", (500, 500, 500)),
    "NUL": Case(b"NO\0OP\r\n\0\r\n", (500, 500)),
    "8-bit": Case(b"\xe4\xf6\xfc\r\nMAIL FROM:<\xe4@client.example>\r\n", (500, 501)),
    "telnet": Case(b"\xff\xfb\x1f\xff\xfb\x20\xff\xf4\xff\xfd\x06\r\n", (500,)),
    "escape sequences": Case(b"\x1b[2J\x1b]0;x\x07\r\nNOOP\x08\x08\r\n", (500, 500)),
    "bare CR": Case(b"NOOP\rNOOP\r\n", (500,)),
    "out of order": Case(b"DATA\r\n", (503,)),
    "more out of order": Case(
        ENVELOPE + b"RSET\r\n" + HELLO + b"RCPT TO:<user@example.org>\r\n", (503, 503, 250, 250, 503)
    ),
    "verbs of others": Case(b"XEXCH50 1 2\r\nXCLIENT ADDR=1\r\nLHLO x\r\nTURN\r\n", (500, 500, 500, 502)),
    "HTTP": Case(b"GET / HTTP/1.1\r\nHost: mx.example.org\r\n\r\n", (421,), ends=True),
    "HTTP with a mail in it": Case(
        b"POST / HTTP/1.1\r\n\r\n" + HELLO + ENVELOPE + b"DATA\r\nx\r\n.\r\n", (421,), ends=True
    ),
    "TLS in the clear": Case(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), (421,), ends=True),
    "talk behind QUIT": Case(HELLO + b"QUIT\r\n" + ENVELOPE, (250, 221), ends=True),
    "text behind a refused DATA": Case(HELLO + b"DATA\r\n" + ENVELOPE + _DATA, (250, 554), ends=True),
    "endless NOOP": Case(b"NOOP\r\n" * 10_000, (250,) * 120 + (421,), ends=True),
    "endless RSET": Case(HELLO + b"RSET\r\n" * 10_000, (250,) * 121 + (421,), ends=True),
    "endless errors": Case(b"FOO\r\n" * 1000, (500,) * 20 + (421,), ends=True),
    "a verb of 2 KB": Case(b"X" * 2000 + b"\r\n", (500,)),
    "a path of 3 KB": Case(HELLO + _MAIL + b"x" * 3000 + b"@client.example>\r\n", (250, 501)),
    "900 parameters": Case(HELLO + _MAIL + b"a@client.example>" + b" X=1" * 900 + b"\r\n", (250, 501)),
    "300 source routes": Case(HELLO + _MAIL + b"@a.example," * 300 + b"@b.example:a@client.example>\r\n", (250, 501)),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_commands(name: str) -> None:
    case = CASES[name]

    async def bad(client: Client) -> Sequence[Heard]:
        await client.say(case.octets)
        heard = await client.hear(len(case.codes))
        assert [reply.code for reply in heard] == list(case.codes)
        if not case.ends:
            await client.say(b"QUIT\r\n")
        assert [reply.code for reply in await client.hear_the_end()] == ([] if case.ends else [221])
        return heard

    survives(bad)


@pytest.mark.parametrize("seed", range(20))
def test_noise(seed: int) -> None:
    chance = random.Random(seed)
    alphabet = bytes(range(256)) if seed % 2 else b"MAILFROMRCPTTODATA:<>@. \r\n\r\n\r\n"

    async def bad(client: Client) -> Sequence[Heard]:
        await client.say(bytes(chance.choices(alphabet, k=20_000)))
        await client.stream.send_eof()
        return await client.hear_the_end()

    survives(bad)


def test_a_hundred_thousand_recipients() -> None:
    recipients = (b"RCPT TO:<user%d@example.org>\r\n" % number for number in range(100_000))

    async def bad(client: Client) -> Sequence[Heard]:
        await client.say(HELLO + b"MAIL FROM:<a@client.example>\r\n" + b"".join(recipients))
        return await client.hear_the_end()

    place = survives(bad, replace(SETTINGS, max_recipients=150))
    message, _ = place.pages.of(Event.MESSAGE)
    assert message["recipients_total"] == 150
    assert len(message["recipients"]) == LIMITS.logged_recipients  # type: ignore[arg-type]
    assert place.pages.of(Event.SESSION)[0]["ended"] == "errors"


def test_many_megabytes_without_a_newline_where_a_command_is_due() -> None:
    async def bad(client: Client) -> Sequence[Heard]:
        with little_memory():
            for _ in range(20 * MEGABYTE // len(PIECE)):
                await client.say(PIECE)
            return await client.hear_the_end()

    place = survives(bad)
    assert place.pages.of(Event.SESSION)[0]["ended"] == "endless_line"


@pytest.mark.parametrize("mode", BodyMode)
def test_many_megabytes_without_a_newline_in_a_body(mode: BodyMode) -> None:
    async def bad(client: Client) -> Sequence[Heard]:
        await client.say(HELLO + ENVELOPE + b"DATA\r\n")
        heard = await client.hear(4)
        with little_memory():
            for _ in range(20 * MEGABYTE // len(PIECE)):
                await client.say(PIECE)
            await trio.sleep(1)  # on a clock that jumps: all that was sent has been read
        await client.say(b"\r\n.\r\nQUIT\r\n")
        return [*heard, *await client.hear_the_end()]

    place = survives(bad, replace(SETTINGS, body=mode))
    assert [message["outcome"] for message in place.pages.of(Event.MESSAGE)] == ["delivered", "delivered"]
    assert place.record.accepted[0].octets > 20 * MEGABYTE
