"""Addresses of a name."""

from ipaddress import ip_address

from trio.testing import MockClock

from smtproxy.lookups.addresses import addresses_of, family, read, unknown
from smtproxy.network.dns.answers import Answer, Status
from smtproxy.policy.evidence import Unknown
from tests.network.dns.fakes import FakeNetwork, found, laboratory

NONE = Answer(Status.NO_DATA, (), 60)


def test_the_family_of_an_address() -> None:
    assert family(ip_address("192.0.2.1")) == "A"
    assert family(ip_address("2001:db8::1")) == "AAAA"


def test_what_is_no_address_is_left_out() -> None:
    assert read(["192.0.2.1", "x", "::ffff:192.0.2.2"]) == [ip_address("192.0.2.1"), ip_address("192.0.2.2")]


def test_why_nobody_knows() -> None:
    assert unknown(Answer(Status.SERVFAIL)) == Unknown("servfail")


async def test_the_other_family_is_asked_where_the_first_has_none(autojump_clock: MockClock) -> None:
    zone = {("a.test", "A"): NONE, ("a.test", "AAAA"): found("2001:db8::1")}
    async with laboratory(network=FakeNetwork(zone)) as lab:
        assert (await addresses_of(lab.resolver, "a.test")).records == ("2001:db8::1",)
        assert (await addresses_of(lab.resolver, "a.test", "AAAA")).records == ("2001:db8::1",)
        assert (await addresses_of(lab.resolver, "none.test")).status is Status.NO_NAME
        assert lab.network.names() == ["a.test", "a.test", "none.test"]
