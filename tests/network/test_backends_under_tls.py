"""Backends under TLS on real sockets: whose certificate it is, what happens without it, and no word in front of it."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from trio.testing import MockClock

from smtproxy.network.probe import probe
from smtproxy.network.tls import ServerTls, Version, client_context, read_certificate, server_context
from smtproxy.sample.profiles import EXCHANGE
from smtproxy.sample.script import Close, Normal, Pause, Point, Rule, Say, Script, reply
from smtproxy.session.limits import LIMITS
from smtproxy.session.records import Event
from smtproxy.session.settings import BackendTls
from tests.fakes.certificates import authority, issue
from tests.network.stage import ENVELOPE, LETTER, PATIENT, Stage, stage, until

SECURE = replace(PATIENT, texts=replace(EXCHANGE.texts, starttls="220 2.0.0 SMTP server ready"))
HOST = "127.0.0.1"
MEGABYTE = b"0123456789abcdef0123456789abcd\r\n" * (1 << 15)
OPPORTUNISTIC, REQUIRE, VERIFY = BackendTls.OPPORTUNISTIC, BackendTls.REQUIRE, BackendTls.VERIFY


@contextlib.asynccontextmanager
async def tls_stage(
    directory: Path,
    *servers: Script,
    security: BackendTls = REQUIRE,
    name: str = "",
    names: tuple[str, ...] = (HOST,),
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    warm: int = 0,
    asks_for_ours: bool = False,
) -> AsyncIterator[Stage]:
    """A stage whose servers have a certificate for `names`, of an authority that the proxy knows."""
    served = server_context([read_certificate(*issue(directory, *names, stem="server"))], Version.TLS_1_2)
    served.maximum_version = newest
    if asks_for_ours:
        served.verify_mode = ssl.CERT_REQUIRED
    trusted = directory / "authority.pem"
    authority().cert_pem.write_to_path(trusted)
    oldest = Version.TLS_1_3 if newest is ssl.TLSVersion.TLSv1_2 else Version.TLS_1_2
    ours = client_context(trusted, verify=security is VERIFY, oldest=oldest)
    async with stage(
        *servers, profile=SECURE, server_tls=ServerTls(security, ours, name), served_tls=served, warm=warm
    ) as here:
        yield here


async def refused(here: Stage) -> None:
    """Send a mail in vain: no server can be used."""
    guest = await here.enter()
    await guest.says_hello()
    assert await guest.codes(ENVELOPE, 2) == [250, 451]
    await guest.quits()
    await here.over(guest)
    assert here.record.accepted == []
    assert b"MAIL" not in b"".join(here.record.commands)


async def ask(here: Stage) -> None:
    """Probe the first server once."""
    await probe(here.pool, here.server, "mx.example.org", LIMITS)


@pytest.mark.parametrize("letter", [LETTER, LETTER + MEGABYTE], ids=["small", "large"])
@pytest.mark.parametrize("security", [OPPORTUNISTIC, REQUIRE, VERIFY])
async def test_a_mail_under_tls(mock_clock: MockClock, tmp_path: Path, security: BackendTls, letter: bytes) -> None:
    async with tls_stage(tmp_path, security=security) as here:
        assert (await here.mail(letter)).code == 250
        assert here.record.accepted[0].body.endswith(b"\r\n" + letter)
        assert here.record.violations == []
        assert here.record.connections[0].verbs[:3] == ["EHLO", "STARTTLS", "EHLO"]
        line = here.journal.one(Event.MESSAGE)
        assert (line["outcome"], line["server_tls"]) == ("delivered", "TLSv1.3")


async def test_a_warm_connection_stays_under_tls(mock_clock: MockClock, tmp_path: Path) -> None:
    """Session tickets come behind the handshake: they are no words of the server, and the connection is good."""
    async with tls_stage(tmp_path, warm=2) as here:
        for _ in range(3):
            assert (await here.mail()).code == 250
        assert len(here.record.connections) == 1
        assert [line["server_tls"] for line in here.journal.of(Event.MESSAGE)] == ["TLSv1.3"] * 3


async def test_a_stray_reply_under_tls_is_seen_before_a_warm_connection_is_used(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    stray = Script((Rule(Point.REPLIES, (Say(b"250 stray\r\n"),), nth=8, connections=(1,)),))
    async with tls_stage(tmp_path, stray, warm=2) as here:
        assert (await here.mail()).code == 250
        assert (await here.mail()).code == 250
        assert len(here.record.connections) == 2
        assert here.record.accepted[1].connection == 2


@pytest.mark.parametrize(
    ("names", "name", "trouble"),
    [
        ((HOST,), "", ""),
        (("exchange.example.org",), "exchange.example.org", ""),
        (("exchange.example.org",), "", "IP address mismatch"),
        ((HOST,), "exchange.example.org", "Hostname mismatch"),
    ],
)
async def test_a_certificate_must_name_the_server(
    mock_clock: MockClock, tmp_path: Path, names: tuple[str, ...], name: str, trouble: str
) -> None:
    async with tls_stage(tmp_path, security=VERIFY, names=names, name=name) as here:
        if trouble:
            await refused(here)
            assert trouble in str(here.journal.one(Event.BACKEND_DOWN)["reason"])
        else:
            assert (await here.mail()).code == 250


@pytest.mark.parametrize("security", [REQUIRE, VERIFY])
@pytest.mark.parametrize(
    "script",
    [
        Script((Rule(Point.STARTTLS, (reply("454 4.7.0 not now"),)),)),
        Script((Rule(Point.STARTTLS, (Normal(), Close())),)),
        Script((Rule(Point.EHLO, (reply("250 no list"),)),)),
    ],
    ids=["refused", "ended in the handshake", "not offered"],
)
async def test_without_tls_no_mail_leaves_where_it_is_required(
    mock_clock: MockClock, tmp_path: Path, security: BackendTls, script: Script
) -> None:
    async with tls_stage(tmp_path, script, security=security) as here:
        await refused(here)
        assert here.journal.one(Event.BACKEND_DOWN)["server"] == here.server.name


@pytest.mark.parametrize(
    ("script", "connections"),
    [
        (Script((Rule(Point.STARTTLS, (reply("454 4.7.0 not now"),)),)), 1),
        (Script((Rule(Point.EHLO, (reply("250 no list"),)),)), 1),
        (Script((Rule(Point.STARTTLS, (Normal(), Close()), connections=(1,)),)), 2),
        (Script((Rule(Point.STARTTLS, (Close(),), connections=(1,)),)), 2),
        (Script((Rule(Point.STARTTLS, (reply("421 4.7.0 no TLS today"), Close()), connections=(1,)),)), 2),
        (Script((Rule(Point.EHLO, (Close(),), nth=2, connections=(1,)),)), 2),
        (Script((Rule(Point.EHLO, (reply("554 5.7.1 not under TLS"),), nth=2, connections=(1,)),)), 2),
    ],
    ids=[
        "refused",
        "not offered",
        "ended in the handshake",
        "ended at STARTTLS",
        "421 to STARTTLS",
        "ended behind the handshake",
        "refused behind the handshake",
    ],
)
async def test_where_it_is_not_mail_goes_in_clear_text(
    mock_clock: MockClock, tmp_path: Path, script: Script, connections: int
) -> None:
    async with tls_stage(tmp_path, script, security=OPPORTUNISTIC) as here:
        assert (await here.mail()).code == 250
        assert len(here.record.connections) == connections
        assert "server_tls" not in here.journal.one(Event.MESSAGE)
        assert here.journal.of(Event.BACKEND_DOWN) == []


async def test_a_server_without_a_version_we_speak_is_spoken_to_in_clear_text_until_a_probe_has_more_luck(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    async with tls_stage(tmp_path, security=OPPORTUNISTIC, newest=ssl.TLSVersion.TLSv1_2) as here:
        for _ in range(2):
            assert (await here.mail()).code == 250
        assert len(here.record.connections) == 3  # the first one failed, the second knew that
        line = here.journal.one(Event.BACKEND_CLEAR)
        assert line["server"] == here.server.name
        assert line["reason"] in ("the connection ended", "unexpected eof while reading")  # Python 3.11, and 3.13
        await ask(here)
        assert [one.clear for one in here.pool.servers] == [True]
        here.pool.tls = replace(here.pool.tls, context=client_context(None, verify=False, oldest=Version.TLS_1_2))
        await ask(here)
        assert here.journal.of(Event.BACKEND_UP)[-1]["tls"] == "TLSv1.2"
        assert (await here.mail()).code == 250
        assert here.journal.of(Event.MESSAGE)[-1]["server_tls"] == "TLSv1.2"


@pytest.mark.parametrize("behind", [b"250 2.0.0 injected\r\n", b"250-"])
async def test_clear_text_behind_starttls_is_never_taken_for_a_reply(
    mock_clock: MockClock, tmp_path: Path, behind: bytes
) -> None:
    """CVE-2011-0411 the other way round: an attacker on the way answers in advance what is asked under TLS."""
    script = Script((Rule(Point.STARTTLS, (Say(b"220 go\r\n" + behind),)),))
    async with tls_stage(tmp_path, script) as here:
        await refused(here)
        assert here.journal.one(Event.BACKEND_DOWN)["reason"] == "talks unasked"


async def test_a_handshake_that_never_ends_costs_its_time_and_no_mail(mock_clock: MockClock, tmp_path: Path) -> None:
    script = Script((Rule(Point.STARTTLS, (Say(b"220 go\r\n"), Pause(1000.0)), connections=(1,)),))
    async with tls_stage(tmp_path, script, security=OPPORTUNISTIC) as here:
        guest = await here.enter()
        await guest.says_hello()
        await guest.client.say(ENVELOPE)
        await until(lambda: guest.session._backend.link is not None and guest.session._backend.link.handshaking)
        await here.pass_time(LIMITS.tls_time + 1)
        here.sweep()
        assert [one.code for one in await guest.client.hear(2)] == [250, 250]
        assert here.journal.one(Event.BACKEND_CLEAR)["reason"] == "timeout"


@pytest.mark.parametrize("security", [OPPORTUNISTIC, REQUIRE])
async def test_a_probe_asks_under_tls(mock_clock: MockClock, tmp_path: Path, security: BackendTls) -> None:
    """What is offered to clients is what the servers offer behind STARTTLS."""
    async with tls_stage(tmp_path, security=security) as here:
        here.server.capabilities = None
        await ask(here)
        line = here.journal.one(Event.BACKEND_UP)
        assert line["tls"] == "TLSv1.3"
        assert [one.capabilities and one.capabilities.has("STARTTLS") for one in here.pool.servers] == [False]
        await until(lambda: bool(here.record.connections[0].ended))
        assert here.record.connections[0].verbs == ["EHLO", "STARTTLS", "EHLO", "QUIT"]


async def test_a_probe_without_tls_where_it_is_required_finds_the_server_down(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    async with tls_stage(tmp_path, security=VERIFY, names=("other.example",)) as here:
        await ask(here)
        assert "mismatch" in str(here.journal.one(Event.BACKEND_DOWN)["reason"])


@pytest.mark.parametrize(
    "rule",
    [
        Rule(Point.STARTTLS, (Normal(), Close())),
        Rule(Point.STARTTLS, (Close(),)),
        Rule(Point.STARTTLS, (reply("421 4.7.0 no TLS today"), Close())),
        Rule(Point.EHLO, (Close(),), nth=2),
    ],
    ids=["in the handshake", "at STARTTLS", "421", "behind the handshake"],
)
async def test_a_probe_without_tls_where_it_is_not_finds_it_well(
    mock_clock: MockClock, tmp_path: Path, rule: Rule
) -> None:
    async with tls_stage(tmp_path, Script((rule,)), security=OPPORTUNISTIC) as here:
        here.server.capabilities = None
        await ask(here)
        assert here.journal.one(Event.BACKEND_UP)["tls"] is None
        assert here.journal.one(Event.BACKEND_CLEAR)["server"] == here.server.name
        assert [(one.down, one.clear, one.extended) for one in here.pool.servers] == [(False, True, True)]


async def test_a_server_that_wants_to_know_who_we_are_is_spoken_to_in_clear_text(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """With TLS 1.3 its refusal comes behind our part of the handshake: as an alert, in place of the answer to EHLO."""
    async with tls_stage(tmp_path, security=OPPORTUNISTIC, asks_for_ours=True) as here:
        assert (await here.mail()).code == 250
        assert "server_tls" not in here.journal.one(Event.MESSAGE)
        assert here.journal.of(Event.BACKEND_DOWN) == []
        assert "_ssl.c" not in str(here.journal.one(Event.BACKEND_CLEAR)["reason"])
