"""The load under TLS: it sends what it is told, says what was agreed on, and gives no figures when anything failed."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import tls_load
from bench.tls_load import TlsLoad
from tests.end_to_end.programs.process import HOST, ProgramError
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy
from tests.fakes.certificates import authority, issue

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def route() -> Iterator[tuple[Smtproxy, Path]]:
    """A proxy with a certificate, and the file of its authority."""
    with tempfile.TemporaryDirectory(prefix="smtproxy-test-") as name:
        directory = Path(name)
        chain, key = issue(directory)
        authority().cert_pem.write_to_path(str(directory / "authority.pem"))
        tls = {"certificate": str(chain), "key": str(key)}
        with (
            SmtpSink(directory / "sink") as sink,
            Smtproxy(directory / "proxy", Plan([f"{HOST}:{sink.port}"], {"tls": tls})) as proxy,
        ):
            yield proxy, directory / "authority.pem"


@pytest.mark.parametrize("resume", [False, True])
def test_it_sends_all_and_says_what_was_agreed_on(route: tuple[Smtproxy, Path], resume: bool) -> None:
    proxy, trusted = route
    before = len(proxy.lines("message"))
    load = TlsLoad(messages=7, sessions=2, octets=4096, recipient="one@example.org", resume=resume)
    agreed = tls_load.run_apart(proxy.port, load, trusted, ()).agreed
    anew, again = "TLSv1.3 TLS_AES_256_GCM_SHA384", "TLSv1.3 TLS_AES_256_GCM_SHA384 resumed"
    assert agreed == ({anew: 2, again: 5} if resume else {anew: 7})
    new = proxy.wait_lines("message", before + 7)[before:]
    assert [line["outcome"] for line in new] == ["delivered"] * 7


def test_a_refusal_is_no_figure(route: tuple[Smtproxy, Path]) -> None:
    proxy, trusted = route
    with pytest.raises(ProgramError, match=r"5\.7\.1"):
        tls_load.run_apart(proxy.port, TlsLoad(2, 1, 4096, "one@elsewhere.example"), trusted, ())
