"""Tests of the Received field: well formed and true, whatever the client calls itself."""

import re
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.wire.trace import address_literal, received_field
from tests.wire.pieces import PROPERTY, octets

WHOLE = re.compile(
    rb"Received: from (\S{1,255}) \((\[[A-Za-z0-9:.]+\])\)\r\n"
    rb" by mx\.example\.org with ESMTP id 7kq\.1;\r\n"
    rb" (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d? [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d \+0000\r\n"
)


def field(
    hello: str | None, client: str = "192.0.2.1", timestamp: float = 1795493804.0, tls: str | None = None
) -> bytes:
    return received_field(
        hello=hello,
        client=client,
        hostname="mx.example.org",
        protocol="ESMTP",
        tls=tls,
        transaction="7kq.1",
        timestamp=timestamp,
    )


def name(hello: str | None, client: str = "192.0.2.1") -> str:
    match = WHOLE.fullmatch(field(hello, client))
    assert match is not None
    return match[1].decode()


def test_the_whole_field() -> None:
    assert field("client.example") == (
        b"Received: from client.example ([192.0.2.1])\r\n"
        b" by mx.example.org with ESMTP id 7kq.1;\r\n"
        b" Tue, 24 Nov 2026 04:16:44 +0000\r\n"
    )


def test_what_protects_the_connection_is_a_comment_of_its_own_line() -> None:
    written = field("client.example", tls="TLSv1.3 with cipher TLS_AES_256_GCM_SHA384")
    assert written.splitlines()[:3] == [
        b"Received: from client.example ([192.0.2.1])",
        b" (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)",
        b" by mx.example.org with ESMTP id 7kq.1;",
    ]


@pytest.mark.parametrize("timestamp", [0.0, 951782400.0, 1795493804.999, 4102444799.5])
def test_dates_are_read_back(timestamp: float) -> None:
    date = field("x", timestamp=timestamp).decode().rpartition(";")[2].strip()
    assert parsedate_to_datetime(date).timestamp() == int(timestamp)


@pytest.mark.parametrize(
    ("hello", "written"),
    [
        ("client.example", "client.example"),
        ("Client.Example.", "Client.Example"),
        ("WIN_PC-7", "WIN_PC-7"),
        ("_x.y_z", "_x.y_z"),
        ("localhost", "localhost"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("3com.example", "3com.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_names_are_kept(hello: str, written: str) -> None:
    assert name(hello) == written


@pytest.mark.parametrize(
    "hello",
    [
        None,
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "-a",
        "a-",
        "a b",
        "a\tb",
        "a\r\nX-Evil: 1",
        "a\nb",
        "a\n",
        "a\0",
        "a)",
        "a (by mx.example.org)",
        "a;b",
        "a@b",
        "a<b>",
        '"a"',
        "a\\b",
        "[192.0.2.99]",  # not the client's: a backend might take it for its address
        "[192.0.2.1",
        "192.0.2.99",
        "1.2.3",
        "[IPv6:2001:db8::1]",
        "by",
        "FROM",
        "with.",
        "ex\u00e4mple.org",
        "\u212aelvin.example",
        "a" * 64,
        "a." * 127 + "aa",
    ],
)
def test_everything_else_is_unknown(hello: str | None) -> None:
    assert name(hello) == "unknown"


def test_a_literal_of_the_client_itself() -> None:
    assert name("[ipv6:2001:DB8::1]", "2001:db8::1") == "[IPv6:2001:db8::1]"


@pytest.mark.parametrize(
    ("address", "literal"),
    [
        ("192.0.2.1", "[192.0.2.1]"),
        ("2001:db8::1", "[IPv6:2001:db8::1]"),
        ("::1", "[IPv6:::1]"),
        ("fe80::1%eth0", "[IPv6:fe80::1]"),
        ("::ffff:192.0.2.1", "[192.0.2.1]"),
        ("", "[unknown]"),
        ("mx.example.org", "[unknown]"),
        ("192.0.2.1\r\n", "[unknown]"),
        ("192.0.2.1]) (x", "[unknown]"),
    ],
)
def test_literals(address: str, literal: str) -> None:
    assert address_literal(address) == literal


@PROPERTY
@given(octets().map(lambda octets: octets.decode("latin-1")) | st.text())
def test_no_hello_adds_anything(hello: str) -> None:
    assert WHOLE.fullmatch(field(hello))
