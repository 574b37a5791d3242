"""What a hello name leads to."""

import pytest
from trio.testing import MockClock

from smtproxy.lookups.hello_name import LOOKUP, MOST_ADDRESSES
from smtproxy.network.dns.answers import Answer, Status
from smtproxy.policy.evidence import Known, Unknown
from smtproxy.policy.facts import HELLO_NAME, HelloName
from tests.lookups.inquiries import FakeInquiry
from tests.network.dns.fakes import FakeNetwork, found, laboratory

NONE = Answer(Status.NO_DATA, (), 60)
MANY = tuple(f"192.0.2.{number}" for number in range(100))
ZONE = {
    ("mx.a.test", "A"): found("192.0.2.1"),
    ("six.a.test", "A"): NONE,
    ("six.a.test", "AAAA"): found("2001:db8::1"),
    ("none.a.test", "A"): NONE,
    ("none.a.test", "AAAA"): NONE,
    ("broken.a.test", "A"): Answer(Status.SERVFAIL),
    ("many.a.test", "A"): found(*MANY),
}


@pytest.mark.parametrize(
    ("said", "fact", "questions"),
    [
        ("mx.a.test", Known(HelloName(("192.0.2.1",))), 1),
        ("MX.A.Test.", Known(HelloName(("192.0.2.1",))), 1),
        ("six.a.test", Known(HelloName(("2001:db8::1",))), 2),
        ("none.a.test", Known(HelloName()), 2),
        ("gone.a.test", Known(HelloName(exists=False)), 1),
        ("localhost", Known(HelloName(exists=False)), 0),
        ("a..b", Known(HelloName(exists=False)), 0),
        ("broken.a.test", Unknown("servfail"), 1),
        ("many.a.test", Known(HelloName(MANY[:MOST_ADDRESSES])), 1),
        ("", Unknown("no_name"), 0),
        ("[192.0.2.1]", Unknown("no_name"), 0),
    ],
)
async def test_facts(said: str, fact: object, questions: int, autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(dict(ZONE))) as lab:
        assert await LOOKUP.find(FakeInquiry(lab.resolver, hello=said)) == fact
        assert len(lab.network.asked) == questions


async def test_the_family_of_the_client_is_asked_first(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(dict(ZONE))) as lab:
        inquiry = FakeInquiry(lab.resolver, client="2001:db8::1", hello="six.a.test")
        assert await LOOKUP.find(inquiry) == Known(HelloName(("2001:db8::1",)))
        assert lab.network.asked[0][2] == "AAAA"
        nobody = FakeInquiry(lab.resolver, client="", hello="mx.a.test")
        assert await LOOKUP.find(nobody) == Known(HelloName(("192.0.2.1",)))
    assert LOOKUP.key is HELLO_NAME
