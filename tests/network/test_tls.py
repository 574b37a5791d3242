"""Certificates and contexts: what is read, what is refused with which words, and who is shown which certificate."""

import socket
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as s

from smtproxy.network.link import Link
from smtproxy.network.tls import (
    CLEAR_TEXT,
    Certificate,
    CertificateError,
    Version,
    agreed,
    check_ciphers,
    client_context,
    read_certificate,
    server_context,
    trouble,
)
from smtproxy.session.dialogue import Tls
from tests.fakes.certificates import authority, issue, trusting


def _read(directory: Path, *names: str) -> Certificate:
    return read_certificate(*issue(directory, *names))


class Handshake:
    """Both ends of a handshake in memory."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(back, there, server_hostname=name)
        self.server = server.wrap_bio(there, back, server_side=True)

    def finish(self) -> list[str]:
        """Let both talk until it is done; -> the names in the certificate that was shown."""
        for side in (self.client, self.server, self.client, self.server, self.client):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        certificate = self.client.getpeercert()
        assert certificate is not None
        return [str(one[1]) for one in certificate["subjectAltName"]]


def test_what_a_certificate_says(tmp_path: Path) -> None:
    read = _read(tmp_path, "MX.example.org", "*.mail.example.org")
    assert read.names == ("mx.example.org", "*.mail.example.org")
    assert read.not_after > 1_795_478_400  # the day of this test


def test_without_other_names_the_common_name_counts(tmp_path: Path) -> None:
    made = authority().issue_cert(common_name="old.example.org")
    chain, key = tmp_path / "old.pem", tmp_path / "old.key"
    chain.write_bytes(made.cert_chain_pems[0].bytes())
    key.write_bytes(made.private_key_pem.bytes())
    assert read_certificate(chain, key).names == ("old.example.org",)


def test_a_key_of_another_certificate(tmp_path: Path) -> None:
    (chain, _), (_, key) = issue(tmp_path, "a.example"), issue(tmp_path, "b.example")
    with pytest.raises(CertificateError, match=r"b\.example\.key: it is not the key of .*a\.example\.pem"):
        read_certificate(chain, key)


@pytest.mark.parametrize(
    ("chain", "key", "said"),
    [
        (None, "", r"chain: No such file"),
        ("", None, r"key: No such file"),
        ("nothing", "", r"chain: there is no certificate in PEM"),
        ("", "nothing", r"key: no private key in PEM"),
    ],
)
def test_files_that_are_no_certificate(tmp_path: Path, chain: str | None, key: str | None, said: str) -> None:
    good_chain, good_key = issue(tmp_path)
    paths = []
    for name, text, good in (("chain", chain, good_chain), ("key", key, good_key)):
        path = tmp_path / name
        if text is not None:
            path.write_text(text or good.read_text())
        paths.append(path)
    with pytest.raises(CertificateError, match=said):
        read_certificate(*paths)


def test_a_key_with_a_passphrase_asks_nobody(tmp_path: Path) -> None:
    chain, key = issue(tmp_path)
    loaded = s.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(loaded.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret")))
    with pytest.raises(CertificateError, match="without a passphrase"):
        read_certificate(chain, key)


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("mx.example.org", "mx.example.org"),
        ("MX2.example.net", "mx2.example.net"),
        ("x.wild.example", "*.wild.example"),
        ("other.example", "mx.example.org"),
    ],
)
def test_the_certificate_that_was_asked_for(tmp_path: Path, asked: str, shown: str) -> None:
    certificates = [_read(tmp_path, name) for name in ("mx.example.org", "mx2.example.net", "*.wild.example")]
    client = trusting()
    client.check_hostname = False
    assert Handshake(server_context(certificates, Version.TLS_1_2), client, asked).finish() == [shown]


@pytest.mark.parametrize(
    ("oldest", "newest", "agreed_on"),
    [
        (Version.TLS_1_2, ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        (Version.TLS_1_2, ssl.TLSVersion.TLSv1_1, None),
        (Version.TLS_1_0, ssl.TLSVersion.TLSv1, "TLSv1"),
        (Version.TLS_1_3, ssl.TLSVersion.TLSv1_2, None),
    ],
)
def test_how_old_a_version_may_be(
    tmp_path: Path, oldest: Version, newest: ssl.TLSVersion, agreed_on: str | None
) -> None:
    shaking = Handshake(server_context([_read(tmp_path)], oldest), trusting(newest), "mx.example.org")
    if agreed_on is None:
        with pytest.raises(ssl.SSLError):
            shaking.finish()
    else:
        shaking.finish()
        assert shaking.server.version() == agreed_on


def test_ciphers(tmp_path: Path) -> None:
    context = server_context([_read(tmp_path)], Version.TLS_1_2, "ECDHE-ECDSA-AES128-GCM-SHA256")
    shaking = Handshake(context, trusting(ssl.TLSVersion.TLSv1_2), "mx.example.org")
    shaking.finish()
    assert shaking.server.cipher() == ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2", 128)
    check_ciphers("HIGH")
    with pytest.raises(ValueError, match='OpenSSL knows no cipher of "NONE-AT-ALL"'):
        check_ciphers("NONE-AT-ALL")


def test_a_backend_is_verified_or_not(tmp_path: Path) -> None:
    (authorities := tmp_path / "ca.pem").write_bytes(authority().cert_pem.bytes())
    server = server_context([_read(tmp_path)], Version.TLS_1_2)
    assert Handshake(
        server, client_context(authorities, verify=True, oldest=Version.TLS_1_2), "mx.example.org"
    ).finish()
    for name, known in (("other.example", authorities), ("mx.example.org", None)):
        shaking = Handshake(server, client_context(known, verify=True, oldest=Version.TLS_1_2), name)
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            shaking.finish()
        assert "ertificate" in trouble(caught.value)
    unverified = Handshake(server, client_context(None, verify=False, oldest=Version.TLS_1_2), "other.example")
    with pytest.raises((AssertionError, KeyError)):
        unverified.finish()  # It is not even looked at.
    assert unverified.client.version() == "TLSv1.3"


@pytest.mark.parametrize("text", [None, "nothing"])
def test_authorities_that_are_none(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CertificateError, match=r"ca\.pem: "):
        client_context(path, verify=True, oldest=Version.TLS_1_2)


def test_nothing_was_agreed_on_without_tls() -> None:
    assert agreed(None) == Tls("", "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        (BrokenPipeError("half sent"), "half sent"),
        (ssl.SSLEOFError(8, "EOF occurred"), "the connection ended"),
    ],
)
def test_why_there_is_no_tls(error: OSError, said: str) -> None:
    assert trouble(error) == said


def test_a_servers_own_certificate_can_be_trusted_by_itself(tmp_path: Path) -> None:
    """Exchange makes its own certificates; there is no authority to be asked."""
    chain, key = issue(tmp_path, "exchange.example.org")
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(chain.read_bytes().split(b"-----END CERTIFICATE-----")[0] + b"-----END CERTIFICATE-----\n")
    server = server_context([read_certificate(chain, key)], Version.TLS_1_2)
    trusting_it_alone = client_context(leaf, verify=True, oldest=Version.TLS_1_2)
    assert Handshake(server, trusting_it_alone, "exchange.example.org").finish() == ["exchange.example.org"]


async def test_tls_with_a_server_that_has_no_context_is_an_error() -> None:
    here, there = socket.socketpair()
    here.setblocking(False)
    link = Link(here)
    with there:
        with pytest.raises(OSError, match="no TLS is set up"):
            CLEAR_TEXT.start(link, "127.0.0.1")
        link.close()
