"""Addresses of clients in one form each, and the networks they are in."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.session.networks import BOGUS, LOCAL, Grouping, Networks, address_of, within


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::192.0.2.1", "::192.0.2.1"),
    ],
)
def test_one_form_each(text: str, address: str) -> None:
    assert address_of(text) == ip_address(address)


@pytest.mark.parametrize("text", ["", "localhost", "192.0.2", "192.0.2.1:25", "[::1]", "1.2.3.4/32"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        address_of(text)


NETWORKS = (ip_network("10.0.0.0/8"), ip_network("192.0.2.7"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("::ffff:10.0.0.1", True),
        ("2001:db8:ffff::", True),
        ("2001:db9::", False),
        ("::a00:1", False),
    ],
)
def test_inside_and_outside(text: str, inside: bool) -> None:
    assert within(address_of(text), NETWORKS) is inside


def test_no_network_has_nobody_in_it() -> None:
    assert not within(address_of("192.0.2.1"), ())


@given(st.ip_addresses(v=4))
def test_the_other_clothes_make_no_other_client(address: object) -> None:
    assert address_of(f"::ffff:{address}") == address_of(str(address)) == address


@pytest.mark.parametrize(
    ("grouping", "one", "other", "same"),
    [
        (Grouping(), "192.0.2.1", "192.0.2.1", True),
        (Grouping(), "192.0.2.1", "::ffff:192.0.2.1", True),
        (Grouping(), "192.0.2.1", "192.0.2.2", False),
        (Grouping(24), "192.0.2.1", "192.0.2.255", True),
        (Grouping(24), "192.0.2.1", "192.0.3.1", False),
        (Grouping(), "2001:db8::1", "2001:db8::ffff:1:2:3", True),
        (Grouping(), "2001:db8::1", "2001:db8:0:1::1", False),
        (Grouping(ipv6=48), "2001:db8::1", "2001:db8:0:1::1", True),
        (Grouping(ipv6=128), "2001:db8::1", "2001:db8::2", False),
        (Grouping(), "0.0.0.0", "::", False),
        (Grouping(), "0.0.0.1", "0:0:0:1::", False),
        (Grouping(ipv6=128), "192.0.2.1", "::c000:201", False),
    ],
)
def test_what_is_one_client(grouping: Grouping, one: str, other: str, same: bool) -> None:
    assert (grouping.of(address_of(one)) == grouping.of(address_of(other))) is same


def test_a_client_has_a_name() -> None:
    assert Grouping().named(address_of("192.0.2.1")) == "192.0.2.1"
    assert Grouping(24).named(address_of("192.0.2.1")) == "192.0.2.0/24"
    assert Grouping().named(address_of("2001:db8::1")) == "2001:db8::/64"
    assert Grouping(ipv6=128).named(address_of("2001:db8::1")) == "2001:db8::1"


@pytest.mark.parametrize("table", [LOCAL, BOGUS])
def test_networks_in_one_table_have_what_its_networks_have(table: Networks) -> None:
    for network in table.networks:
        kind = type(network.network_address)
        begin, end = int(network.network_address), int(network.broadcast_address)
        for number in (begin - 1, begin, begin + 1, end - 1, end, end + 1):
            if 0 <= number < 1 << network.max_prefixlen:
                assert (kind(number) in table) is within(kind(number), table.networks)


@pytest.mark.parametrize(
    ("network", "overlaps"),
    [
        *(("10.0.0.0/8", True), ("10.1.2.3/32", True), ("0.0.0.0/0", True), ("9.0.0.0/8", False)),
        *(("11.0.0.0/8", False), ("192.0.0.0/16", True), ("192.0.2.7/32", True), ("192.0.2.6/32", False)),
        *(("192.0.2.8/29", False), ("2001:db8::/64", True), ("2001:db8:0:1::/64", False), ("::/0", True)),
    ],
)
def test_networks_that_overlap_one_of_a_table(network: str, overlaps: bool) -> None:
    table = Networks("10.0.0.0/8", "192.0.2.7/32", "2001:db8::25/128")
    assert table.overlap(ip_network(network)) is overlaps
