"""Clients under TLS: openssl and Python's smtplib, STARTTLS and implicit TLS, and what attackers put in front of it."""

import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Route
from tests.end_to_end.programs import openssl
from tests.end_to_end.programs.process import HOST
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Line, Plan, Setting, Smtproxy
from tests.fakes.certificates import NAME, authority, issue, trusting

pytestmark = pytest.mark.end_to_end

OTHER = "mail.example.net"
STARTTLS = ["-starttls", "smtp", "-name", "client.example.net"]
MAIL = (
    b"EHLO client.example.net\r\nMAIL FROM:<sender@example.net>\r\nRCPT TO:<%s@example.org>\r\nDATA\r\n"
    b"Subject: test\r\nMessage-ID: <%s@example.net>\r\n\r\nhello\r\n.\r\nQUIT\r\n"
)


@pytest.fixture(scope="module")
def certificates(directory: Path) -> list[Setting]:
    """Two of them, for the names of one server."""
    written = [issue(directory, NAME), issue(directory, OTHER, "*.example.com")]
    authority().cert_pem.write_to_path(str(directory / "authority.pem"))
    return [{"certificate": str(chain), "key": str(key)} for chain, key in written]


def _route(directory: Path, listener: dict[str, Setting]) -> Iterator[Route[SmtpSink]]:
    with (
        SmtpSink(directory / "sink", keep=True) as backend,
        Smtproxy(directory / "proxy", Plan([f"{HOST}:{backend.port}"], listener)) as proxy,
    ):
        yield Route(proxy, backend)


@pytest.fixture(scope="module")
def starttls(directory: Path, certificates: list[Setting]) -> Iterator[Route[SmtpSink]]:
    yield from _route(directory / "starttls", {"tls": certificates})


@pytest.fixture(scope="module")
def implicit(directory: Path, certificates: list[Setting]) -> Iterator[Route[SmtpSink]]:
    yield from _route(directory / "implicit", {"tls": certificates, "tls_mode": "implicit"})


def _trace(route: Route[SmtpSink], name: str) -> str:
    """The field that the proxy put in front of a mail, unfolded."""
    (mail,) = [mail for mail in route.backend.mails() if f"<{name}@example.net>" in mail.content]
    return re.sub(r"\r?\n[ \t]+", " ", mail.content[mail.content.index("Received:") :]).splitlines()[0]


def _session(route: Route[SmtpSink], name: str) -> Line:
    return route.session(route.line("message", f"{name}@example.net"))


def test_smtplib_behind_starttls(starttls: Route[SmtpSink]) -> None:
    with smtplib.SMTP(HOST, starttls.proxy.port, local_hostname="client.example.net", timeout=30) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        client._host = NAME  # type: ignore[attr-defined] # whom the certificate has to name; we connected to an address
        client.starttls(context=trusting())
        client.ehlo()
        assert not client.has_extn("starttls")
        text = "Subject: test\r\nMessage-ID: <smtplib-1@example.net>\r\n\r\nhello\r\n"
        assert client.sendmail("sender@example.net", ["one@example.org"], text) == {}
    session = _session(starttls, "smtplib-1")
    assert (session["tls"], session["ended"]) == ("TLSv1.3", "quit")
    assert f"(using TLSv1.3 with cipher {session['cipher']}) by mx.example.org with ESMTPS" in _trace(
        starttls, "smtplib-1"
    )


def test_smtplib_under_implicit_tls(implicit: Route[SmtpSink]) -> None:
    context = trusting()
    context.check_hostname = False  # smtplib asks for the name it connects to, and that is an address here
    with smtplib.SMTP_SSL(HOST, implicit.proxy.port, "client.example.net", timeout=30, context=context) as client:
        text = "Subject: test\r\nMessage-ID: <smtplib-2@example.net>\r\n\r\n" + "x" * 70 + "\r\n"
        assert client.sendmail("sender@example.net", ["one@example.org"], text + "y\r\n" * 100_000) == {}
        assert not client.has_extn("starttls")
    assert _session(implicit, "smtplib-2")["tls"] == "TLSv1.3"
    assert "with ESMTPS" in _trace(implicit, "smtplib-2")


@pytest.mark.parametrize(("asked", "shown"), [(NAME, NAME), (OTHER, OTHER), ("mx2.example.com", "*.example.com")])
def test_the_certificate_that_was_asked_for(implicit: Route[SmtpSink], asked: str, shown: str) -> None:
    with (
        socket.create_connection((HOST, implicit.proxy.port), timeout=20) as connection,
        trusting().wrap_socket(connection, server_hostname=asked) as secured,
    ):
        assert secured.recv(3) == b"220"
        certificate = secured.getpeercert() or {}
        assert ("DNS", shown) in certificate["subjectAltName"]


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_openssl_behind_starttls(starttls: Route[SmtpSink], directory: Path, version: str) -> None:
    name = f"openssl-{version}"
    options = [*STARTTLS, f"-{version}", "-CAfile", str(directory / "authority.pem"), "-verify_hostname", NAME]
    seen = openssl.connect(starttls.proxy.port, options, MAIL % (b"openssl", name.encode()))
    assert "Verification: OK" in seen.about, seen.about
    assert seen.codes[-6:] == [250, 250, 250, 354, 250, 221], seen
    session = _session(starttls, name)
    assert session["tls"] == {"tls1_2": "TLSv1.2", "tls1_3": "TLSv1.3"}[version]
    assert f"Ciphersuite: {session['cipher']}" in seen.about


def test_openssl_under_implicit_tls_with_a_name(implicit: Route[SmtpSink], directory: Path) -> None:
    options = ["-servername", OTHER, "-CAfile", str(directory / "authority.pem"), "-verify_hostname", OTHER]
    seen = openssl.connect(implicit.proxy.port, options, MAIL % (b"openssl", b"openssl-implicit"))
    assert "Verification: OK" in seen.about, seen.about
    assert seen.codes == [220, 250, 250, 250, 354, 250, 221], seen


def test_an_old_version_is_not_spoken(starttls: Route[SmtpSink]) -> None:
    before = len(starttls.proxy.lines("session"))
    seen = openssl.connect(starttls.proxy.port, [*STARTTLS, "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"], b"")
    assert seen.status != 0
    session = starttls.proxy.wait_lines("session", before + 1)[-1]
    assert (session["ended"], session["tls"]) == ("tls_failed", None)
    assert session["tls_failed"] == "unsupported protocol"


def test_a_client_that_does_not_trust_us_leaves_a_reason(starttls: Route[SmtpSink]) -> None:
    before = len(starttls.proxy.lines("session"))
    with smtplib.SMTP(HOST, starttls.proxy.port, timeout=30) as client, pytest.raises(ssl.SSLCertVerificationError):
        client.starttls(context=ssl.create_default_context())
    session = starttls.proxy.wait_lines("session", before + 1)[-1]
    assert session["ended"] in {"tls_failed", "reset", "closed"}
    assert session["transactions"] == 0


def test_nobody_has_to_speak_tls(starttls: Route[SmtpSink]) -> None:
    with smtplib.SMTP(HOST, starttls.proxy.port, local_hostname="client.example.net", timeout=30) as client:
        text = "Subject: test\r\nMessage-ID: <clear@example.net>\r\n\r\nhello\r\n"
        assert client.sendmail("sender@example.net", ["one@example.org"], text) == {}
    assert _session(starttls, "clear")["tls"] is None
    assert "with ESMTP id" in _trace(starttls, "clear")


# CVE-2011-0411: what an attacker in the middle puts behind STARTTLS in clear text


def _until_tls(connection: socket.socket) -> None:
    assert connection.recv(1000).startswith(b"220 ")
    connection.sendall(b"EHLO client.example.net\r\n")
    assert connection.recv(1000).endswith(b"250 STARTTLS\r\n")


INJECTED = b"MAIL FROM:<attacker@example.net>\r\nRCPT TO:<victim@example.org>\r\n"


def test_what_stands_behind_starttls_in_the_same_packet_ends_the_session(starttls: Route[SmtpSink]) -> None:
    before = len(starttls.proxy.lines("session"))
    with socket.create_connection((HOST, starttls.proxy.port), timeout=20) as connection:
        _until_tls(connection)
        connection.sendall(b"STARTTLS\r\n" + INJECTED)
        heard = b""
        while octets := connection.recv(1000):
            heard += octets
    assert heard.startswith(b"554 5.5.0 ")
    assert heard.count(b"\r\n") == 1
    session = starttls.proxy.wait_lines("session", before + 1)[-1]
    assert (session["ended"], session["tls"], session["transactions"]) == ("tls_injected", None, 0)


def test_what_comes_in_clear_text_before_the_handshake_is_no_command(starttls: Route[SmtpSink]) -> None:
    """In a packet of its own, behind our 220: it is a broken handshake, and the session ends without a word."""
    before = len(starttls.proxy.lines("session"))
    with socket.create_connection((HOST, starttls.proxy.port), timeout=20) as connection:
        _until_tls(connection)
        connection.sendall(b"STARTTLS\r\n")
        assert connection.recv(1000).startswith(b"220 ")
        connection.sendall(INJECTED)
        heard = b""
        try:
            while octets := connection.recv(1000):
                heard += octets
        except ConnectionResetError:
            pass
    assert b"250" not in heard  # an alert at most
    session = starttls.proxy.wait_lines("session", before + 1)[-1]
    assert (session["ended"], session["tls"], session["transactions"]) == ("tls_failed", None, 0)


def test_what_was_said_in_clear_text_is_forgotten_under_tls(starttls: Route[SmtpSink]) -> None:
    """A hello that an attacker said in the client's name counts for nothing. RFC 3207 4.2"""
    with socket.create_connection((HOST, starttls.proxy.port), timeout=20) as connection:
        _until_tls(connection)
        connection.sendall(b"STARTTLS\r\n")
        assert connection.recv(1000).startswith(b"220 ")
        with trusting().wrap_socket(connection, server_hostname=NAME) as secured:
            secured.sendall(b"MAIL FROM:<sender@example.net>\r\n")
            assert secured.recv(1000).startswith(b"503 5.5.1 Send EHLO")
