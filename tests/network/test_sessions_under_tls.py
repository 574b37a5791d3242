"""Sessions under TLS on real sockets: the handshake in each of its ends, and that nothing of clear text gets in."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from smtproxy.network.tls import Version, read_certificate, server_context
from smtproxy.session.limits import LIMITS
from smtproxy.session.records import Event
from smtproxy.session.settings import ClientTls, RelaySettings
from smtproxy.session.tarpit import PaceFor, TarpitSettings
from tests.fakes.certificates import NAME, issue, trusting
from tests.network.stage import ENVELOPE, HELLO, LETTER, Guest, Stage, quiet, stage
from tests.network.world import Client

STARTTLS = RelaySettings(NAME, client_tls=ClientTls.STARTTLS)
IMPLICIT = RelaySettings(NAME, client_tls=ClientTls.IMPLICIT)
MEGABYTE = b"0123456789abcdef0123456789abcd\r\n" * (1 << 15)


@contextlib.asynccontextmanager
async def tls_stage(tmp_path: Path, settings: RelaySettings = STARTTLS) -> AsyncIterator[Stage]:
    """A stage whose proxy has a certificate."""
    context = server_context([read_certificate(*issue(tmp_path))], Version.TLS_1_2)
    async with stage(settings=settings, tls=context) as here:
        yield here


async def _secure(guest: Guest, context: ssl.SSLContext | None = None) -> Client:
    """Let the client shake hands; -> the client, under TLS."""
    stream = trio.SSLStream(guest.client.stream, context or trusting(), server_hostname=NAME, https_compatible=True)
    await stream.do_handshake()
    return Client(stream)  # type: ignore[arg-type] # it says and hears as on any stream


async def _starttls(here: Stage) -> tuple[Guest, Client]:
    guest = await here.enter()
    await guest.says_hello()
    assert await guest.codes(b"STARTTLS\r\n") == [220]
    return guest, await _secure(guest)


async def _mails(client: Client, letter: bytes = LETTER) -> int:
    await client.say(HELLO + ENVELOPE + b"DATA\r\n")
    assert [one.code for one in await client.hear(4)] == [250, 250, 250, 354]
    await client.say(letter + b".\r\n")
    return (await client.hear(1))[0].code


@pytest.mark.parametrize("letter", [LETTER, LETTER + MEGABYTE], ids=["small", "large"])
async def test_a_mail_behind_starttls(mock_clock: MockClock, tmp_path: Path, letter: bytes) -> None:
    async with tls_stage(tmp_path) as here:
        guest, client = await _starttls(here)
        assert await _mails(client, letter) == 250
        assert here.record.accepted[0].body.endswith(b"\r\n" + letter)
        await client.say(b"QUIT\r\n")
        assert [one.code for one in await client.hear_the_end()] == [221]
        await here.over(guest)
        line = here.journal.one(Event.SESSION)
        assert (line["tls"], line["hello"], line["ended"]) == ("TLSv1.3", "client.example", "quit")
        assert str(line["cipher"]).startswith("TLS_")


async def test_a_mail_under_implicit_tls(mock_clock: MockClock, tmp_path: Path) -> None:
    async with tls_stage(tmp_path, IMPLICIT) as here:
        client = await _secure(await here.enter())
        assert (await client.hear(1))[0].code == 220
        assert await _mails(client) == 250
        assert here.outcomes() == ["delivered"]


async def test_more_than_a_client_reads_at_once(mock_clock: MockClock, tmp_path: Path) -> None:
    """Answers that OpenSSL took in part leave in their order, whole."""
    settings = RelaySettings(NAME, client_tls=ClientTls.STARTTLS, limits=LIMITS)
    async with tls_stage(tmp_path, settings) as here:
        guest, client = await _starttls(here)
        guest.peer.setsockopt(1, 7, 4096)  # SOL_SOCKET, SO_SNDBUF
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.say, HELLO + b"HELP\r\n" * 100 + b"NOOP\r\n")
            await quiet()
            assert [one.code for one in await client.hear(102)] == [250, *[214] * 100, 250]


@pytest.mark.parametrize(
    ("before", "behind", "said", "ended"),
    [
        (b"STARTTLS\r\nEHLO evil.example\r\n", b"", [554], "tls_injected"),
        (b"STARTTLS\r\n", ENVELOPE, [220], "tls_failed"),
    ],
    ids=["before the answer", "behind the answer"],
)
async def test_clear_text_behind_starttls_is_not_obeyed(
    mock_clock: MockClock, tmp_path: Path, before: bytes, behind: bytes, said: list[int], ended: str
) -> None:
    async with tls_stage(tmp_path) as here:
        guest = await here.enter()
        await guest.says_hello()
        assert await guest.codes(before) == said
        await guest.client.say(behind)
        assert await guest.client.hear_the_end() == []
        line = here.journal.one(Event.SESSION)
        assert (line["ended"], line["tls"], line["transactions"]) == (ended, None, 0)
        assert ("version" in str(line["tls_failed"])) is bool(behind)


async def test_a_client_that_does_not_trust_us(mock_clock: MockClock, tmp_path: Path) -> None:
    async with tls_stage(tmp_path, IMPLICIT) as here:
        guest = await here.enter()
        with pytest.raises(trio.BrokenResourceError):
            await _secure(guest, ssl.create_default_context())
        await guest.client.leave("closed")
        await here.over(guest)
        assert here.endings() == ["tls_failed"]


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_client_that_vanishes_in_its_handshake(mock_clock: MockClock, tmp_path: Path, how: str) -> None:
    async with tls_stage(tmp_path, IMPLICIT) as here:
        guest = await here.enter()
        await quiet()
        await guest.client.leave(how)
        await here.over(guest)
        assert here.endings() == ["tls_failed"]


async def test_a_client_that_says_nothing_in_its_handshake(mock_clock: MockClock, tmp_path: Path) -> None:
    async with tls_stage(tmp_path, IMPLICIT) as here:
        guest = await here.enter()
        await here.pass_time(LIMITS.tls_time)
        await here.swept(lambda: guest.ended)
        assert here.journal.one(Event.SESSION)["tls_failed"] == "timeout"


async def test_cut_off_in_a_handshake(mock_clock: MockClock, tmp_path: Path) -> None:
    async with tls_stage(tmp_path, IMPLICIT) as here:
        guest = await here.enter()
        await quiet()
        guest.session.cut_off()
        await guest.client.leave("closed")
        await here.over(guest)
        assert here.endings() == ["shutdown"]


async def test_a_drain_lets_a_handshake_finish(mock_clock: MockClock, tmp_path: Path) -> None:
    async with tls_stage(tmp_path, IMPLICIT) as here:
        guest = await here.enter()
        await quiet()
        guest.session.shut_down()
        client = await _secure(guest)
        assert [one.code for one in await client.hear_the_end()][-1] == 421


async def test_without_a_certificate_there_is_no_tls(mock_clock: MockClock) -> None:
    async with stage(settings=IMPLICIT) as here:
        guest = await here.enter()
        await here.over(guest)
        assert here.journal.one(Event.SESSION)["tls_failed"] == "no certificate"


async def test_client_that_hangs_up_under_tls_gets_no_commit(mock_clock: MockClock, tmp_path: Path) -> None:
    async with tls_stage(tmp_path) as here:
        guest, client = await _starttls(here)
        await client.say(HELLO + ENVELOPE + b"DATA\r\n")
        await client.hear(4)
        await client.say(LETTER)
        await guest.client.leave("reset")
        await here.over(guest)
        assert here.record.terminators == 0
        assert here.outcomes() == ["aborted"]


async def test_what_waits_inside_openssl_for_the_pace_counts_towards_commit_by(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """One record holds the letter and its dot: neither leaves a trace on the socket once its first octets were read."""
    context = server_context([read_certificate(*issue(tmp_path))], Version.TLS_1_2)
    paced = TarpitSettings(pace=1000, pace_for=PaceFor.ALL)
    async with stage(settings=replace(IMPLICIT, commit_by=20.0), tls=context, tarpit=paced) as here:
        client = await _secure(await here.enter())
        await client.hear(1)
        await client.say(HELLO + ENVELOPE + b"DATA\r\n")
        await client.hear(4)
        await client.say(LETTER + MEGABYTE[:15000].removesuffix(b"\r\n") + b"\r\n.\r\n")
        for _ in range(9):
            await here.pass_time(1.0)
        assert here.delayed == 1
        await here.pass_time(1.0)
        assert [one.code for one in await client.hear(1)] == [250]
