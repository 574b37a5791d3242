"""What the DNS says of a sender's domain."""

import pytest
from trio.testing import MockClock

from smtproxy.lookups.sender_domain import ENOUGH, LOOKUP, MOST_EXCHANGERS
from smtproxy.network.dns.answers import Answer, Status
from smtproxy.policy.evidence import Known, Unknown
from smtproxy.policy.facts import SENDER_DOMAIN, SenderDomain
from smtproxy.wire.paths import Path
from tests.lookups.inquiries import FakeInquiry
from tests.network.dns.fakes import FakeNetwork, found, laboratory

NONE = Answer(Status.NO_DATA, (), 60)
SERVFAIL = Answer(Status.SERVFAIL)
MX = {
    ("a.test", "MX"): found("20 mx2.a.test", "10 mx1.a.test", "9 best.a.test"),
    ("mx1.a.test", "A"): found("192.0.2.1"),
    ("mx2.a.test", "A"): found("192.0.2.2", "198.51.100.7"),
    ("best.a.test", "A"): NONE,
    ("best.a.test", "AAAA"): found("2001:db8::9"),
}


@pytest.mark.parametrize(
    ("zone", "fact"),
    [
        ({}, SenderDomain(exists=False)),
        ({("a.test", "MX"): found("0 .")}, SenderDomain(exists=True, null_mx=True)),
        (
            {("a.test", "MX"): found("0 .", "10 mx.a.test"), ("mx.a.test", "A"): found("192.0.2.1")},
            SenderDomain(exists=True, exchangers=("mx.a.test",), addresses=("192.0.2.1",)),
        ),
        ({("a.test", "MX"): NONE, ("a.test", "A"): NONE, ("a.test", "AAAA"): NONE}, SenderDomain(exists=True)),
        (
            {("a.test", "MX"): NONE, ("a.test", "A"): found("198.51.100.7")},
            SenderDomain(exists=True, addresses=("198.51.100.7",), client_is_exchanger=True),
        ),
        (
            {("a.test", "A"): found("192.0.2.1")},  # MX: NXDOMAIN, by a server that says so of types it does not know
            SenderDomain(exists=True, addresses=("192.0.2.1",)),
        ),
        (
            MX,
            SenderDomain(
                exists=True,
                exchangers=("best.a.test", "mx1.a.test", "mx2.a.test"),
                addresses=("2001:db8::9", "192.0.2.1", "192.0.2.2", "198.51.100.7"),
                client_is_exchanger=True,
            ),
        ),
        ({("a.test", "MX"): found("10 gone.test")}, SenderDomain(exists=True, exchangers=("gone.test",))),
        ({("a.test", "MX"): SERVFAIL}, Unknown("servfail")),
        ({("a.test", "MX"): NONE, ("a.test", "A"): SERVFAIL}, Unknown("servfail")),
        ({("a.test", "MX"): found("10 b.test"), ("b.test", "A"): SERVFAIL}, Unknown("servfail")),
        (
            {
                ("a.test", "MX"): found("10 b.test", "20 c.test"),
                ("b.test", "A"): SERVFAIL,
                ("c.test", "A"): found("192.0.2.1"),
            },
            SenderDomain(exists=True, exchangers=("b.test", "c.test"), addresses=("192.0.2.1",)),
        ),
    ],
)
async def test_facts(zone: dict[tuple[str, str], Answer], fact: object, autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(dict(zone))) as lab:
        said = await LOOKUP.find(FakeInquiry(lab.resolver, sender=Path("x", "A.Test")))
        assert said == (fact if isinstance(fact, Unknown) else Known(fact))


@pytest.mark.parametrize(
    ("address", "questions"), [("", MOST_EXCHANGERS), ("10.0.0.1", MOST_EXCHANGERS), ("8.8.8.8", ENOUGH)]
)
async def test_exchangers_are_bounded(address: str, questions: int, autojump_clock: MockClock) -> None:
    """One that could be reached is looked for a little longer than the client's own address."""
    zone = {("a.test", "MX"): found(*[f"10 mx{number}.a.test" for number in range(100)])}
    if address:
        zone |= {(f"mx{number}.a.test", "A"): found(address) for number in range(100)}
    async with laboratory(network=FakeNetwork(zone)) as lab:
        await LOOKUP.find(FakeInquiry(lab.resolver, sender=Path("x", "a.test")))
        assert len(lab.network.asked) == 1 + questions


@pytest.mark.parametrize("sender", [None, Path("", ""), Path("x", "[192.0.2.1]"), Path("postmaster", "")])
async def test_no_domain_no_fact(sender: Path | None, autojump_clock: MockClock) -> None:
    async with laboratory() as lab:
        assert await LOOKUP.find(FakeInquiry(lab.resolver, sender=sender)) == Unknown("no_domain")
        assert lab.network.asked == []


async def test_a_name_that_cannot_be_asked_for_does_not_exist(autojump_clock: MockClock) -> None:
    async with laboratory() as lab:
        fact = await LOOKUP.find(FakeInquiry(lab.resolver, client="", sender=Path("x", "a..b")))
        assert fact == Known(SenderDomain(exists=False))
    assert LOOKUP.key is SENDER_DOMAIN
