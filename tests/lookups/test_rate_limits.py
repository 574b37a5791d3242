"""Limits, taken from a store in memory: once, by the right key, and never before all is known."""

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any, cast

import pytest

from smtproxy.lookups.rate_limits import RateLimits
from smtproxy.network.dns.resolver import AtHand, CachingResolver
from smtproxy.network.inquiry import Inquiry, NotAtHand
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import REVERSE_NAME, SPF, Exceeded, ExceededLimit, Key, ReverseName, Spf
from smtproxy.policy.rate_limits import PLACES, Of, Per, RateLimit, Subject
from smtproxy.session.networks import Grouping
from smtproxy.stores.memory import MemoryStore
from smtproxy.stores.store import Taken
from smtproxy.wire.paths import NULL_PATH, Path
from tests.fakes.clock import FakeClock
from tests.lookups.inquiries import FakeInquiry
from tests.stores.tables import at_once, memory_store

RESOLVER = AtHand(cast("CachingResolver", None))
FREE = Known(Exceeded())
TWO = RateLimit("two", Per.CLIENT, Of.MESSAGES, 2, 60.0, 2)
GOOGLE = Known(ReverseName(("mail-1.google.com",), "mail-1.google.com"))
PASS = Known(Spf("pass", "Example.NET"))


class Desk:
    """Limits on a store of their own."""

    def __init__(self, *limits: RateLimit, secret: bytes | None = None) -> None:
        self.clock = FakeClock()
        self.store = memory_store(clock=self.clock)
        self.limits = RateLimits(limits, self.store, secret)

    def ask(self, key: Key[Exceeded] = PLACES[Of.MESSAGES].fact, **about: Any) -> Fact[Exceeded]:  # noqa: ANN401
        """Learn the fact as a session does: on the spot."""
        (lookup,) = [one for one in self.limits.lookups if one.key is key]
        return at_once(lookup.find(FakeInquiry(RESOLVER, **about)))

    def keys(self) -> list[str]:
        return [key for key, _ in at_once(self.store.scan("1/"))]


def test_so_many_and_no_more_until_one_has_leaked() -> None:
    desk = Desk(TWO)
    assert [desk.ask(), desk.ask()] == [FREE, FREE]
    assert desk.ask() == Known(Exceeded((ExceededLimit("two", 30.0),)))
    assert desk.ask(client="198.51.100.8") == FREE
    desk.clock.now += 29
    assert desk.ask() == Known(Exceeded((ExceededLimit("two", 1.0),))), "a refused one has cost nothing"
    desk.clock.now += 1
    assert desk.ask() == FREE


@pytest.mark.parametrize(
    ("per", "about", "key"),
    [
        (Per.CLIENT, {"client": "198.51.100.7"}, "198.51.100.7"),
        (Per.CLIENT, {"client": "::ffff:198.51.100.7"}, "198.51.100.7"),
        (Per.CLIENT, {"client": "2001:db8:1:2::3"}, "2001:db8:1:2::/64"),
        (Per.CLIENT, {"client": ""}, None),
        (Per.REVERSE_NAME, {"facts": {REVERSE_NAME.name: GOOGLE}}, "google.com"),
        (Per.REVERSE_NAME, {"facts": {REVERSE_NAME.name: Known(ReverseName(("mail.example.co.uk",)))}}, None),
        (Per.REVERSE_NAME, {"facts": {REVERSE_NAME.name: Unknown("timeout")}}, None),
        (Per.SENDER_DOMAIN, {"sender": Path("a", "Example.NET")}, "example.net"),
        (Per.SENDER_DOMAIN, {"sender": NULL_PATH}, None),
        (Per.PROVEN_DOMAIN, {"facts": {SPF.name: PASS}}, "example.net"),
        (Per.PROVEN_DOMAIN, {"facts": {SPF.name: Known(Spf("fail", "example.net"))}}, None),
        (Per.RECIPIENT, {"recipient": Path("User", "Example.ORG")}, "user@example.org"),
        (Per.RECIPIENT, {}, None),
        (Per.LISTENER, {"listener": "inside"}, "inside"),
        (Per.ALL, {}, ""),
    ],
)
def test_who_is_counted_as_one(per: Per, about: dict[str, Any], key: str | None) -> None:
    desk = Desk(replace(TWO, per=per))
    answers = [desk.ask(**about) for _ in range(3)]
    assert desk.keys() == ([] if key is None else [f"1/limit/two/{key}"])
    assert (answers[2] == FREE) is (key is None), "who is not known is not limited"


def test_a_network_is_one_by_its_prefix() -> None:
    desk = Desk(replace(TWO, per=Per.NETWORK, grouping=Grouping(24, 56)))
    desk.ask(client="198.51.100.7")
    desk.ask(client="198.51.100.8")
    assert desk.ask(client="198.51.100.9") != FREE
    assert desk.ask(client="198.51.101.9") == FREE


def test_exempt_clients_are_neither_counted_nor_held_to_it() -> None:
    desk = Desk(replace(TWO, per=Per.ALL, exempt=(IPv4Network("198.51.100.0/24"),)))
    assert {repr(desk.ask()) for _ in range(4)} == {repr(FREE)}
    assert desk.keys() == []


def test_names_are_not_in_the_store_where_privacy_is_wanted() -> None:
    desk = Desk(TWO, secret=b"s" * 32)
    desk.ask()
    (key,) = desk.keys()
    assert key.startswith("1/limit/two/~")


def test_several_are_taken_from_together_and_each_says_so() -> None:
    desk = Desk(TWO, replace(TWO, name="one", per=Per.ALL, burst=1))
    assert desk.ask() == FREE
    exceeded = desk.ask()
    assert isinstance(exceeded, Known)
    assert [one.name for one in exceeded.value.limits] == ["one"]


AFTERWARDS = [of for of in Of if PLACES[of].afterwards]


@pytest.mark.parametrize("of", AFTERWARDS)
def test_what_is_known_afterwards_is_charged_and_only_looked_at(of: Of) -> None:
    desk = Desk(replace(TWO, of=of))
    fact = PLACES[of].fact
    for _ in range(5):
        assert desk.ask(fact) == FREE
    subject = Subject("198.51.100.7", "mx", None, None, {})
    desk.limits.charge(of, subject, 1)
    assert desk.ask(fact) == FREE
    desk.limits.charge(of, subject, 100)  # it is never fuller than full
    assert desk.ask(fact) == Known(Exceeded((ExceededLimit("two", 30.0),)))
    for other in AFTERWARDS:
        if other is not of:
            desk.limits.charge(other, subject, 1)
    assert desk.keys() == ["1/limit/two/198.51.100.7"]


HARVEST = replace(TWO, of=Of.UNKNOWN_RECIPIENTS, longest_delay=8.0)
HARVESTER = Subject("198.51.100.7", "mx", None, None, {})


def test_where_delays_double_it_is_known_by_how_far_it_is_exceeded_to_all_workers() -> None:
    desk = Desk(HARVEST)
    colleague = RateLimits([HARVEST], desk.store, None)
    fact, seen = PLACES[Of.UNKNOWN_RECIPIENTS].fact, []
    for number in range(8):
        (desk.limits if number % 2 else colleague).charge(Of.UNKNOWN_RECIPIENTS, HARVESTER, 1)
        seen.append(desk.ask(fact))
    exceeded = [Known(Exceeded((ExceededLimit("two", 30.0 * above, above),))) for above in (1, 2, 3, 4, 4, 4, 4)]
    assert seen == [FREE, *exceeded], "and no further than the longest delay needs"
    desk.clock.now += 60
    assert desk.ask(fact) == exceeded[1], "each that leaks halves it again"
    desk.clock.now += 59
    assert desk.ask(fact) == Known(Exceeded((ExceededLimit("two", 1.0, 1),)))
    desk.clock.now += 1
    assert desk.ask(fact) == FREE


def test_an_administrator_sees_the_limit_and_not_what_is_charged_beyond_it() -> None:
    desk = Desk(HARVEST)
    desk.limits.charge(Of.UNKNOWN_RECIPIENTS, HARVESTER, 1)
    assert at_once(desk.limits.exceeded()) == []
    desk.limits.charge(Of.UNKNOWN_RECIPIENTS, HARVESTER, 2)
    assert at_once(desk.limits.exceeded()) == [("198.51.100.7", "two")]
    (standing,) = at_once(desk.limits.standing("198.51.100.7"))
    assert standing == ("two", 2.0, Taken(allowed=False, wait=60.0, left=0.0))
    assert at_once(desk.limits.forgive("198.51.100.7")) == ["two"]
    assert desk.ask(PLACES[Of.UNKNOWN_RECIPIENTS].fact) == FREE


class _Waiting:
    """A store on another machine: it has to be awaited."""

    waits = True

    def __init__(self) -> None:
        self.taken = 0

    async def take(self, *_: object, **__: object) -> Taken:
        self.taken += 1
        return Taken(allowed=False, wait=1.04, left=0.0)


async def test_a_store_that_waits_is_not_asked_on_the_spot() -> None:
    store = _Waiting()
    (lookup,) = RateLimits([TWO], cast("MemoryStore", store), None).lookups
    with pytest.raises(NotAtHand):
        await lookup.find(FakeInquiry(RESOLVER))
    assert store.taken == 0
    beside = FakeInquiry(cast("Any", None))
    assert not beside.quick
    assert await lookup.find(beside) == Known(Exceeded((ExceededLimit("two", 1.0),)))
    assert store.taken == 1


async def test_nothing_is_taken_before_all_is_known_that_keys_are_made_of() -> None:
    class NotYet(FakeInquiry):
        async def fact(self, key: Key[Any]) -> Fact[Any]:
            raise NotAtHand

    desk = Desk(TWO, replace(TWO, name="named", per=Per.REVERSE_NAME))
    (lookup,) = desk.limits.lookups
    inquiry: Inquiry = NotYet(RESOLVER)
    with pytest.raises(NotAtHand):
        await lookup.find(inquiry)
    assert desk.keys() == []
