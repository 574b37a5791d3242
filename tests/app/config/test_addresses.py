"""Addresses to listen on and to connect to. Wrong ones are in configurations/bind_is_no_address and server_is_none."""

from contextlib import suppress
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.app.config.addresses import Address, Embedded, bind, literal, network, server


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0.0.0.0:25", Address("0.0.0.0", 25)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::]:25", Address("::", 25)),
        ("[0:0:0:0:0:0:0:1]:65535", Address("::1", 65535)),
        ("[FD00::A]:25", Address("fd00::a", 25)),
    ],
)
def test_binds(written: str, meant: Address) -> None:
    assert bind(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("10.0.0.10:25", Address("10.0.0.10", 25)),
        ("[fd00::11]:2525", Address("fd00::11", 2525)),
        ("Exchange.Example.ORG.:25", Address("exchange.example.org", 25)),
        ("localhost:25", Address("localhost", 25)),
        ("bücher.example:25", Address("xn--bcher-kva.example", 25)),
        ("embedded:exchange", Embedded("exchange")),
    ],
)
def test_servers(written: str, meant: object) -> None:
    assert server(written) == meant


@pytest.mark.parametrize("written", ["0.0.0.0:25", "[::1]:25", "a.example:1"])
def test_spelling_is_kept(written: str) -> None:
    assert str(server(written.replace("0.0.0.0", "10.0.0.1"))) == written.replace("0.0.0.0", "10.0.0.1")


def test_embedded_is_spelled_as_written() -> None:
    assert str(server("embedded:exchange")) == "embedded:exchange"


@pytest.mark.parametrize(
    ("host", "loopback", "wildcard"),
    [
        ("127.0.0.1", True, False),
        ("127.9.9.9", True, False),
        ("::1", True, False),
        ("localhost", True, False),
        ("0.0.0.0", False, True),
        ("::", False, True),
        ("10.0.0.1", False, False),
        ("mx.example.org", False, False),
    ],
)
def test_reach(host: str, loopback: bool, wildcard: bool) -> None:
    assert Address(host, 25).is_loopback is loopback
    assert Address(host, 25).is_wildcard is wildcard


def test_literals() -> None:
    assert str(literal("::1")) == "::1"
    assert literal("mx.example.org") is None


def test_networks() -> None:
    assert network("10.0.0.0/8") == ip_network("10.0.0.0/8")
    assert network("192.0.2.7") == ip_network("192.0.2.7/32")
    assert network("2001:db8::1") == ip_network("2001:db8::1/128")
    assert network("0.0.0.0/0") == ip_network("0.0.0.0/0")


@given(st.ip_addresses(), st.integers(0, 65535))
def test_every_plain_address_reads_back(ip: object, port: int) -> None:
    address = Address(str(ip), port)
    if "::ffff:" not in str(ip):
        assert bind(str(address)) == address


@given(st.text(max_size=30) | st.from_regex(r"[\[\]0-9a-f:.%*]{1,20}", fullmatch=True))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    for read in (bind, server, network):
        with suppress(ValueError):
            found = read(text)
            assert read(str(found)) == found
