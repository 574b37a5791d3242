"""Backends under TLS: a real Postfix with a certificate, in each mode of `tls`, and one without."""

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Route
from tests.end_to_end.programs.postfix import Postfix
from tests.end_to_end.programs.process import HOST
from tests.end_to_end.programs.smtproxy import Plan, Setting, Smtproxy
from tests.fakes.certificates import authority, issue

pytestmark = pytest.mark.end_to_end

NAME = "backend.example.org"
BODY = "0123456789abcdef0123456789abcd\r\n" * 60_000


@pytest.fixture(scope="module")
def secure(directory: Path) -> Iterator[Postfix]:
    """A Postfix with a certificate of the authority in authority.pem."""
    authority().cert_pem.write_to_path(str(directory / "authority.pem"))
    with Postfix(directory / "secure", tls=issue(directory, NAME)) as backend:
        yield backend


def _mail(route: Route[Postfix], name: str, body: str = "hello\r\n") -> int:
    """Send a mail; -> the code of its end."""
    with smtplib.SMTP(HOST, route.proxy.port, local_hostname="client.example.net", timeout=60) as client:
        text = f"Subject: test\r\nMessage-ID: <{name}@example.net>\r\n\r\n{body}"
        try:
            client.sendmail("sender@example.net", ["one@example.org"], text)
        except smtplib.SMTPRecipientsRefused as refused:
            return refused.recipients["one@example.org"][0]
    return 250


@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        ("opportunistic", {}),
        ("require", {}),
        ("verify", {"tls_ca": "authority.pem", "tls_name": NAME}),
        ("verify", {"tls_ca": f"{NAME}.pem", "tls_name": NAME}),
    ],
    ids=["opportunistic", "require", "verified by an authority", "verified by itself"],
)
def test_mail_goes_under_tls(
    directory: Path, secure: Postfix, mode: str, settings: dict[str, Setting], request: pytest.FixtureRequest
) -> None:
    settings = settings | {"tls": mode}
    if "tls_ca" in settings:
        settings["tls_ca"] = str(directory / str(settings["tls_ca"]))
    place = directory / f"proxy-{request.node.callspec.id.replace(' ', '-')}"
    with Smtproxy(place, Plan([f"{HOST}:{secure.port}"], backend=settings)) as proxy:
        route = Route(proxy, secure)
        names = [f"{place.name}-{number}" for number in range(3)]
        bodies = ("hello\r\n", BODY, "again\r\n")
        assert [_mail(route, name, body) for name, body in zip(names, bodies, strict=True)] == [250] * 3
        assert [route.line("message", name)["server_tls"] for name in names] == ["TLSv1.3"] * 3
        assert [line["tls"] for line in proxy.lines("backend_up")] == ["TLSv1.3"]
    secure.wait_delivered()
    stored = [mail.text for mail in secure.mails() if place.name in mail.text]
    assert sorted(BODY.replace("\r", "") in text for text in stored) == [False, False, True]


def test_no_mail_leaves_where_the_certificate_is_anothers(directory: Path, secure: Postfix) -> None:
    settings: dict[str, Setting] = {
        "tls": "verify",
        "tls_ca": str(directory / "authority.pem"),
        "tls_name": "exchange.example.org",
    }
    plan = Plan([f"{HOST}:{secure.port}"], backend=settings)
    with Smtproxy(directory / "anothers", plan, greets=b"421") as proxy:
        assert "Hostname mismatch" in str(proxy.lines("backend_down")[0]["reason"])
        with pytest.raises(smtplib.SMTPConnectError) as turned_away:
            smtplib.SMTP(HOST, proxy.port, timeout=30)
        assert turned_away.value.smtp_code == 421


@pytest.mark.parametrize(("mode", "code"), [("opportunistic", 250), ("require", 421)])
def test_a_server_without_tls(directory: Path, postfix_route: Route[Postfix], mode: str, code: int) -> None:
    plan = Plan([f"{HOST}:{postfix_route.backend.port}"], backend={"tls": mode})
    with Smtproxy(directory / f"clear-{mode}", plan, greets=b"220" if code == 250 else b"421") as proxy:
        if code == 250:
            assert _mail(Route(proxy, postfix_route.backend), "clear-1") == 250
            assert "server_tls" not in Route(proxy, postfix_route.backend).line("message", "clear-1")
        else:
            with pytest.raises(smtplib.SMTPConnectError) as turned_away:
                smtplib.SMTP(HOST, proxy.port, timeout=30)
            assert turned_away.value.smtp_code == code
            assert proxy.lines("backend_down")[0]["reason"] == "STARTTLS not offered"
