"""The names of the client's address."""

import pytest
from trio.testing import MockClock

from smtproxy.lookups.reverse_name import LOOKUP, MOST_NAMES
from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.resolver import AtHand
from smtproxy.network.inquiry import NotAtHand
from smtproxy.policy.evidence import Known, Unknown
from smtproxy.policy.facts import REVERSE_NAME, ReverseName
from tests.lookups.inquiries import FakeInquiry
from tests.network.dns.fakes import FakeNetwork, found, laboratory

POINTER = ("7.100.51.198.in-addr.arpa", "PTR")
SERVFAIL = Answer(Status.SERVFAIL)


@pytest.mark.parametrize(
    ("zone", "fact"),
    [
        ({}, Known(ReverseName())),
        ({POINTER: Answer(Status.NO_DATA, (), 60)}, Known(ReverseName())),
        ({POINTER: found("mx.a.test")}, Known(ReverseName(("mx.a.test",)))),
        (
            {POINTER: found("mx.a.test"), ("mx.a.test", "A"): found("198.51.100.8", "198.51.100.7")},
            Known(ReverseName(("mx.a.test",), "mx.a.test")),
        ),
        (
            {POINTER: found("liar.test", "mx.a.test"), ("mx.a.test", "A"): found("198.51.100.7")},
            Known(ReverseName(("liar.test", "mx.a.test"), "mx.a.test")),
        ),
        ({POINTER: SERVFAIL}, Unknown("servfail")),
        ({POINTER: found("mx.a.test"), ("mx.a.test", "A"): SERVFAIL}, Unknown("servfail")),
        (
            {
                POINTER: found("b.test", "mx.a.test"),
                ("b.test", "A"): SERVFAIL,
                ("mx.a.test", "A"): found("198.51.100.7"),
            },
            Known(ReverseName(("b.test", "mx.a.test"), "mx.a.test")),
        ),
        ({POINTER: found("bad..name")}, Known(ReverseName(("bad..name",)))),
    ],
    ids=["none", "no data", "claimed", "confirmed", "second", "failed", "name failed", "one failed", "no name"],
)
async def test_facts(zone: dict[tuple[str, str], Answer], fact: object, autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(zone)) as lab:
        assert await LOOKUP.find(FakeInquiry(lab.resolver)) == fact


async def test_ipv6(autojump_clock: MockClock) -> None:
    pointer = "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa"
    zone = {(pointer, "PTR"): found("mx.a.test"), ("mx.a.test", "AAAA"): found("2001:DB8:0::1")}
    async with laboratory(network=FakeNetwork(zone)) as lab:
        fact = await LOOKUP.find(FakeInquiry(lab.resolver, client="2001:db8::1"))
        assert fact == Known(ReverseName(("mx.a.test",), "mx.a.test"))


async def test_names_are_bounded(autojump_clock: MockClock) -> None:
    names = [f"{number}.test" for number in range(100)]
    async with laboratory(network=FakeNetwork({POINTER: found(*names)})) as lab:
        fact = await LOOKUP.find(FakeInquiry(lab.resolver))
        assert fact == Known(ReverseName(tuple(names[:MOST_NAMES])))
        assert len(lab.network.asked) == 1 + MOST_NAMES


async def test_from_memory_or_not_at_all(autojump_clock: MockClock) -> None:
    zone = {POINTER: found("mx.a.test"), ("mx.a.test", "A"): found("198.51.100.7")}
    async with laboratory(network=FakeNetwork(zone)) as lab:
        with pytest.raises(NotAtHand):
            await LOOKUP.find(FakeInquiry(AtHand(lab.resolver)))
        known = await LOOKUP.find(FakeInquiry(lab.resolver))
        assert await LOOKUP.find(FakeInquiry(AtHand(lab.resolver))) == known


async def test_a_client_that_nobody_named(autojump_clock: MockClock) -> None:
    async with laboratory() as lab:
        assert await LOOKUP.find(FakeInquiry(lab.resolver, client="")) == Unknown("no_client")
    assert LOOKUP.key is REVERSE_NAME
