"""Facts that were found a moment ago."""

from operator import attrgetter
from typing import cast

from smtproxy.lookups.recent import MOMENT, MOST, Recent, recent
from smtproxy.network.dns.resolver import AtHand, CachingResolver
from smtproxy.network.inquiry import Inquiry, Lookup
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import HELLO_NAME, HelloName
from tests.fakes.clock import FakeClock
from tests.lookups.inquiries import FakeInquiry

RESOLVER = AtHand(cast("CachingResolver", None))
FOUND = Known(HelloName(("192.0.2.1",)))


async def test_a_fact_is_looked_up_once_in_a_moment_for_each_that_it_is_about() -> None:
    clock, asked = FakeClock(), list[str]()

    async def find(inquiry: Inquiry) -> Fact[HelloName]:
        asked.append(inquiry.hello)
        return FOUND

    lookup = recent(Lookup(HELLO_NAME, find, quick=False), attrgetter("client", "hello"), clock)
    assert (lookup.key, lookup.quick) == (HELLO_NAME, False)
    for hello in ("a.example", "b.example", "a.example"):
        assert await lookup.find(FakeInquiry(RESOLVER, hello=hello)) is FOUND
    assert asked == ["a.example", "b.example"]
    clock.now += MOMENT
    await lookup.find(FakeInquiry(RESOLVER, hello="a.example"))
    assert asked == ["a.example", "b.example", "a.example"]


async def test_not_knowing_is_not_remembered() -> None:
    facts: list[Fact[HelloName]] = [FOUND, Unknown("timeout")]

    async def find(_: Inquiry) -> Fact[HelloName]:
        return facts.pop()

    lookup = recent(Lookup(HELLO_NAME, find), attrgetter("hello"), FakeClock())
    assert await lookup.find(FakeInquiry(RESOLVER, hello="a.example")) == Unknown("timeout")
    assert await lookup.find(FakeInquiry(RESOLVER, hello="a.example")) is FOUND


def test_what_was_found_of_something_else_is_not_taken() -> None:
    kept: Recent[HelloName] = Recent(FakeClock())
    kept.keep("a.example", FOUND, ("one", 1))
    assert kept.get("a.example", ("one", 1)) is FOUND
    assert kept.get("a.example", ("one", 2)) is None
    assert kept.get("b.example", ("one", 1)) is None


def test_it_is_bounded() -> None:
    kept: Recent[HelloName] = Recent(FakeClock())
    for number in range(MOST + 1):
        kept.keep(number, FOUND)
    assert [kept.get(0), kept.get(MOST)] == [None, FOUND]
