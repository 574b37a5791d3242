"""Senders over several attempts: what a list, a mailer or a signature changes makes no other sender."""

import pytest

from smtproxy.policy.verp import reduced
from smtproxy.wire.paths import Path, parse_path


def _reduced(text: str) -> str:
    return reduced(parse_path(f"<{text}>".encode())[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "<>"),
        ("Anna.Berg@Example.ORG", "anna.berg@example.org"),
        ("anna+shop@example.org", "anna@example.org"),
        ("+anna@example.org", "+anna@example.org"),
        ("prvs=4512ab34cd=anna@example.org", "anna@example.org"),
        ("prvs=anna/4512ab34cd@example.org", "anna@example.org"),
        ("SRS0=Hh4F=TT=example.net=anna@forwarder.example", "anna example.net@forwarder.example"),
        ("SRS1=ab1c=first.example==Hh4F=TT=example.net=anna@forwarder.example", "anna example.net@forwarder.example"),
        ("talk-bounces-bob=example.net@lists.example.org", "talk-bounces@lists.example.org"),
        ("talk-bounces+bob=example.net@lists.example.org", "talk-bounces@lists.example.org"),
        ("talk-return-1234-bob=example.net@lists.example.org", "talk-return@lists.example.org"),
        ("news-b.c-d=example.net@lists.example.org", "news@lists.example.org"),
        ("bob=example.net@example.org", "=@example.org"),
        ("bounce-123456_HTML-98765@mailer.example", "bounce-#_html-#@mailer.example"),
        ("010201934be2a7c1-6f0e3c2b-1111-2222-3333-abcdefabcdef-000000@mailer.example", "#@mailer.example"),
        ("m0a1b2c3d4@mailer.example", "#@mailer.example"),
        ("anna@company24.example", "anna@company24.example"),
        ("bounce@b1.n42.mailer.example", "bounce@b#.n#.mailer.example"),
    ],
)
def test_what_differs_is_taken_out(text: str, expected: str) -> None:
    assert _reduced(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("talk-bounces-bob=example.net", "talk-bounces-carol=example.com"),
        ("news-bob=example.net", "news-carol-x=example.com"),
        ("prvs=4512ab34cd=anna", "prvs=0000ffffff=anna"),
        ("SRS0=abcd=XY=example.net=anna", "SRS0=dcba=ZZ=example.net=anna"),
        ("bounce-1", "bounce-2209"),
        ("0a1b2c3d4e5f-1", "ffeeddccbba0-2"),
    ],
)
def test_two_attempts_are_one_sender(one: str, other: str) -> None:
    assert _reduced(f"{one}@example.org") == _reduced(f"{other}@example.org")


def test_two_people_are_two_senders() -> None:
    assert _reduced("anna@example.org") != _reduced("bob@example.org")
    assert _reduced("anna@example.org") != _reduced("anna@example.net")


def test_what_is_long_is_cut_and_takes_no_time() -> None:
    long = reduced(Path("a1=-" * 5000, "example.org"))
    assert len(long) < 300
