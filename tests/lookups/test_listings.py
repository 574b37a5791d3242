"""What lists say of a session, and what of it counts."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from smtproxy.lookups.answer_filter import answer_filter
from smtproxy.lookups.listings import PATIENCE, DnsList, Subject, listings
from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.exchange import Silence
from smtproxy.network.dns.resolver import AtHand, BudgetedResolver, DnsSettings
from smtproxy.network.inquiry import Lookup, NotAtHand
from smtproxy.network.sockets import Endpoint
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import (
    LISTED_CLIENT,
    LISTED_HELLO,
    LISTED_REVERSE_NAME,
    LISTED_SENDER,
    Listed,
    Listings,
    ReverseName,
)
from smtproxy.session.records import Event
from smtproxy.wire.paths import Path
from tests.lookups.inquiries import FakeInquiry
from tests.lookups.lists import ZONE, FakeList, answers_an_error, lists_the_world, parked
from tests.network.dns.fakes import FakeNetwork, Laboratory, found, laboratory

CLIENT = "7.100.51.198"
MINE = DnsList("mylist", ZONE)
ALL = DnsList("mylist", ZONE, frozenset(Subject))
LISTED = Known(Listings((Listed("mylist", "198.51.100.7", ("127.0.0.4",)),)))
OFF = Known(Listings(unknown=(("mylist", "list_off"),)))


def made(lab: Laboratory, *lists: DnsList) -> dict[str, Lookup[Listings]]:
    found = listings(lists or (MINE,), lab.resolver, lab.nursery, lab.journal)
    return {one.key.name: one for one in found}


async def ask(lab: Laboratory, *lists: DnsList, client: str = "198.51.100.7") -> Fact[Listings]:
    return await made(lab, *lists)["listed_client"].find(FakeInquiry(lab.resolver, client=client))


def network() -> FakeNetwork:
    return FakeNetwork(otherwise=FakeList({CLIENT: "127.0.0.4"}))


async def test_listed(autojump_clock: MockClock) -> None:
    async with laboratory(network=network()) as lab:
        assert await ask(lab) == LISTED
        assert await ask(lab, client="198.51.100.8") == Known(Listings())
        assert lab.journal.lines == []


async def test_each_subject_has_its_lookup(autojump_clock: MockClock) -> None:
    listed = {CLIENT: "127.0.0.4", "mx.a.test": "127.0.0.5", "b.test": "127.0.0.6", "a.test": "127.0.0.7"}
    async with laboratory(network=FakeNetwork(otherwise=FakeList(listed))) as lab:
        inquiry = FakeInquiry(lab.resolver, hello="B.Test", sender=Path("x", "A.test"))
        inquiry.facts["reverse_name"] = Known(ReverseName(("mx.a.test",), "mx.a.test"))
        lookups = made(lab, ALL)
        said = {name: await one.find(inquiry) for name, one in lookups.items()}
        assert said == {
            LISTED_CLIENT.name: LISTED,
            LISTED_REVERSE_NAME.name: Known(Listings((Listed("mylist", "mx.a.test", ("127.0.0.5",)),))),
            LISTED_HELLO.name: Known(Listings((Listed("mylist", "b.test", ("127.0.0.6",)),))),
            LISTED_SENDER.name: Known(Listings((Listed("mylist", "a.test", ("127.0.0.7",)),))),
        }


async def test_only_what_is_asked_for_has_a_lookup(autojump_clock: MockClock) -> None:
    async with laboratory() as lab:
        assert list(made(lab, MINE)) == ["listed_client"]
        assert listings((), lab.resolver, lab.nursery, lab.journal) == ()


@pytest.mark.parametrize(
    "more",
    [
        {"client": "127.0.0.1"},
        {"client": "10.0.0.1"},
        {"client": "::1"},
        {"hello": "[192.0.2.1]"},
        {"hello": "localhost"},
        {"hello": "192.0.2.1"},
        {"hello": ""},
        {"sender": Path("", "")},
        {"sender": Path("x", "[192.0.2.1]")},
    ],
)
async def test_some_subjects_are_on_no_list(more: dict[str, Any], autojump_clock: MockClock) -> None:
    name = "listed_client" if "client" in more else "listed_hello" if "hello" in more else "listed_sender"
    async with laboratory() as lab:
        assert await made(lab, ALL)[name].find(FakeInquiry(lab.resolver, **more)) == Known(Listings())
        assert lab.network.asked == []


async def test_a_name_that_is_not_confirmed_is_on_no_list(autojump_clock: MockClock) -> None:
    """Whoever has an address may write any name there, also one that an allow list has."""
    async with laboratory(network=FakeNetwork(otherwise=FakeList({"good.test": "127.0.0.2"}))) as lab:
        inquiry = FakeInquiry(lab.resolver)
        inquiry.facts["reverse_name"] = Known(ReverseName(("good.test",)))
        assert await made(lab, ALL)["listed_reverse_name"].find(inquiry) == Known(Listings())
        inquiry.facts["reverse_name"] = Unknown("servfail")
        assert await made(lab, ALL)["listed_reverse_name"].find(inquiry) == Known(
            Listings(unknown=(("mylist", "servfail"),))
        )


async def test_a_client_that_nobody_named_is_unknown(autojump_clock: MockClock) -> None:
    async with laboratory() as lab:
        assert await ask(lab, client="") == Known(Listings(unknown=(("mylist", "no_client"),)))


async def test_only_some_answers_count(autojump_clock: MockClock) -> None:
    some = DnsList("mylist", ZONE, answers=(answer_filter("127.0.0.[5..6]"), answer_filter("127.0.1.2")))
    async with laboratory(network=network()) as lab:
        assert await ask(lab, some) == Known(Listings())
        lab.network.otherwise = lambda name, kind: (
            found("127.0.0.4", "127.0.0.5", "127.0.1.2") if name.startswith("9.") else FakeList()(name, kind)
        )
        assert await ask(lab, some, client="198.51.100.9") == Known(
            Listings((Listed("mylist", "198.51.100.9", ("127.0.0.5", "127.0.1.2")),))
        )


@pytest.mark.parametrize("instead", [lists_the_world, answers_an_error, parked])
async def test_a_list_that_is_not_well_refuses_nobody(
    instead: Callable[[str], Answer], autojump_clock: MockClock
) -> None:
    """From the first answer on, and a list that was well a moment ago as well."""
    for before in (None, instead):
        zone = FakeList({CLIENT: "127.0.0.4"}, instead=before)
        async with laboratory(network=FakeNetwork(otherwise=zone)) as lab:
            lookup = made(lab)["listed_client"]
            first = await lookup.find(FakeInquiry(lab.resolver))
            assert first == (LISTED if before is None else OFF)
            zone.instead = instead
            for number in range(100):
                client = f"198.51.101.{number}"
                assert await lookup.find(FakeInquiry(lab.resolver, client=client)) == OFF
            assert len(lab.journal.of(Event.LIST_OFF)) == 1
            assert len(lab.network.asked) < 12


async def test_a_key_reaches_neither_fact_nor_log(autojump_clock: MockClock) -> None:
    zone = FakeList({CLIENT: "127.0.0.4"})
    async with laboratory(network=FakeNetwork(otherwise=zone)) as lab:
        lookup = made(lab)["listed_client"]
        said = [await lookup.find(FakeInquiry(lab.resolver))]
        for instead in (answers_an_error, lists_the_world):
            zone.instead = instead
            said.append(await lookup.find(FakeInquiry(lab.resolver, client="198.51.100.9")))
            await trio.sleep(5000)
        assert "key1234" not in repr(said)
        assert "key1234" not in repr(lab.journal.lines)
        assert lab.journal.of(Event.LIST_OFF) != []


async def test_a_slow_list_leaves_only_itself_unknown(autojump_clock: MockClock) -> None:
    fast = network()

    async def exchange(server: Endpoint, octets: bytes, patience: float) -> Answer | Silence:
        if b"slow" in octets:
            await trio.sleep(patience)
            return Silence.TIMEOUT
        return await fast(server, octets, patience)

    async with laboratory() as lab:
        lab.resolver._exchange = exchange
        begin = trio.current_time()
        said = await ask(lab, MINE, DnsList("slow", "slow.test"))
        assert said == Known(Listings(LISTED.value.listed, (("slow", "timeout"),)))
        assert trio.current_time() - begin == pytest.approx(PATIENCE, abs=0.1)


async def test_several_lists_are_asked_at_once(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(takes=1)) as lab:
        begin = trio.current_time()
        said = await ask(lab, *(DnsList(str(number), f"{number}.test") for number in range(9)))
        assert said == Known(Listings())
        assert trio.current_time() - begin == pytest.approx(1, abs=0.1)


async def test_from_memory_or_not_at_all(autojump_clock: MockClock) -> None:
    async with laboratory(network=network()) as lab:
        lookup = made(lab)["listed_client"]
        quick = FakeInquiry(AtHand(lab.resolver))
        with pytest.raises(NotAtHand):
            await lookup.find(quick)
        assert await lookup.find(FakeInquiry(lab.resolver)) == LISTED
        assert await lookup.find(quick) == LISTED
        await trio.sleep(61)  # the answer still holds, the test points are not fresh any more
        with pytest.raises(NotAtHand):
            await lookup.find(quick)
        assert await lookup.find(FakeInquiry(lab.resolver)) == LISTED
        assert await lookup.find(quick) == LISTED


async def test_a_session_that_asked_too_much_does_not_know(autojump_clock: MockClock) -> None:
    async with laboratory(network=network()) as lab:
        lookup = made(lab)["listed_client"]
        for number in range(9):
            said = await lookup.find(FakeInquiry(BudgetedResolver(lab.resolver, 0), client=f"198.51.100.{number}"))
            assert said == Known(Listings(unknown=(("mylist", "budget"),)))
        assert lab.journal.lines == []
        assert lab.network.asked == []


async def test_a_name_too_long_to_be_asked_for_is_on_no_list(autojump_clock: MockClock) -> None:
    async with laboratory() as lab:
        long = ".".join(["x" * 60] * 4)
        assert await made(lab, ALL)["listed_hello"].find(FakeInquiry(lab.resolver, hello=long)) == Known(Listings())


async def test_a_dead_list_costs_nothing_after_a_while(autojump_clock: MockClock) -> None:
    dead = FakeList(instead=lambda _front: Answer(Status.SERVFAIL))
    async with laboratory(DnsSettings(), FakeNetwork(otherwise=dead)) as lab:
        lookup = made(lab)["listed_client"]
        said = []
        for number in range(50):
            said.append(await lookup.find(FakeInquiry(lab.resolver, client=f"198.51.100.{number}")))
            await trio.sleep(0.1)
        assert said[0] == Known(Listings(unknown=(("mylist", "servfail"),)))
        assert said[-1] == OFF
        assert len(lab.network.asked) < 15
        assert len(lab.journal.of(Event.LIST_OFF)) == 1
