"""The fuse: what a list must show before it is believed, what switches it off, and how it comes back."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from smtproxy.lookups.fuse import (
    ADDRESSES,
    CRASHED,
    DOMAINS,
    FAILURES,
    FIRST_PAUSE,
    FRESH,
    LONGEST_PAUSE,
    LOOK_AFTER,
    OFF,
    Fuse,
    Points,
    fault,
    query_name,
)
from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.exchange import Silence
from smtproxy.session.records import Event
from tests.lookups.lists import ZONE, FakeList, answers_an_error, broken, empty, lists_the_world, parked
from tests.network.dns.fakes import ONE, FakeNetwork, Laboratory, found, laboratory


def fuse(lab: Laboratory, points: Points = ADDRESSES) -> Fuse:
    return Fuse("mylist", ZONE, points, lab.resolver, lab.nursery, lab.journal)


def now() -> Answer:
    """A positive answer that came just now."""
    return Answer(Status.FOUND, ("127.0.0.2",), 60, trio.current_time())


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("192.0.2.1", "1.2.0.192.z"),
        ("2001:db8::1", "1." + "0." * 23 + "8.b.d.0.1.0.0.2.z"),
        ("a.test", "a.test.z"),
        ("test", "test.z"),
    ],
)
def test_names_of_questions(subject: str, name: str) -> None:
    assert query_name(subject, "z") == name


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        (["127.0.0.2", "127.0.0.255"], ""),
        (["127.0.0.2", "127.255.255.254"], "error answer 127.255.255.254"),
        (["127.0.0.1"], "refusal 127.0.0.1"),
        (["203.0.113.1"], "answer 203.0.113.1 outside 127.0.0.0/8"),
        (["127.255.0.1"], ""),
    ],
)
def test_answers_that_are_none(answers: list[str], wrong: str) -> None:
    assert fault(answers) == wrong


@pytest.mark.parametrize("points", [ADDRESSES, DOMAINS])
async def test_a_list_that_is_well_may_be_believed(points: Points, autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(otherwise=FakeList())) as lab:
        one, answer = fuse(lab, points), now()
        assert not one.sound(answer)
        assert await one.prove(answer) == ""
        assert one.sound(answer)
        assert lab.journal.lines == []
        drawn, unlisted, listed = (name.removesuffix(f".{ZONE}") for name in lab.network.names())
        if points is ADDRESSES:
            assert (unlisted, listed) == ("1.0.0.127", "2.0.0.127")
            assert 128 <= int(drawn.split(".")[2]) <= 254
            assert drawn.endswith(".127")
        else:
            assert (unlisted, listed) == ("invalid", "test")
            assert drawn.endswith(".invalid")


@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        (lists_the_world, "lists what nobody may list: 127."),
        (answers_an_error, "error answer 127.255.255.254"),
        (parked, "answer 203.0.113.80 outside 127.0.0.0/8"),
        (empty, "does not list its test point 127.0.0.2"),
        (broken, "no answer for its test point 127."),
    ],
)
async def test_a_list_that_is_not_well_is_switched_off_once(
    instead: Callable[[str], Answer], reason: str, autojump_clock: MockClock
) -> None:
    async with laboratory(network=FakeNetwork(otherwise=FakeList(instead=instead))) as lab:
        one = fuse(lab)
        for _ in range(5):
            assert await one.prove(now()) == OFF
        assert one.off.startswith(reason)
        line = lab.journal.one(Event.LIST_OFF)
        assert line["list"] == "mylist"
        assert ZONE.partition(".")[0] not in str(line)


async def test_it_comes_back_by_itself(autojump_clock: MockClock) -> None:
    network = FakeNetwork(otherwise=FakeList(instead=lists_the_world))
    async with laboratory(network=network) as lab:
        one = fuse(lab)
        await lab.resolver.ask(f"7.100.51.198.{ZONE}", "A")
        await one.prove(now())
        assert lab.resolver.at_hand(f"7.100.51.198.{ZONE}", "A") is None
        await trio.sleep(1000)
        asked = len(network.asked)
        assert asked < 20
        network.otherwise = FakeList()
        await trio.sleep(LONGEST_PAUSE + FIRST_PAUSE)
        assert one.off == ""
        assert float(str(lab.journal.one(Event.LIST_ON)["off"])) >= 1000
        assert await one.prove(now()) == ""


async def test_what_was_proven_holds_for_what_was_said_before(autojump_clock: MockClock) -> None:
    """An answer from memory needs no test of its own while the points are fresh; a new one does."""
    async with laboratory(network=FakeNetwork(otherwise=FakeList())) as lab:
        one, old = fuse(lab), now()
        await one.prove(old)
        asked = len(lab.network.asked)
        await trio.sleep(1)
        assert one.sound(old)
        new = now()
        assert not one.sound(new)
        assert await one.prove(new) == ""
        assert len(lab.network.asked) == asked + 1  # the points of the RFC were seen a second ago
        await trio.sleep(FRESH + 1)
        assert not one.sound(old)
        assert await one.prove(old) == ""
        assert len(lab.network.asked) == asked + 4


async def test_a_list_that_goes_mad_is_not_believed_once(autojump_clock: MockClock) -> None:
    """It was well a second ago, and resolvers remember its test points; the one drawn by lot nobody remembers."""
    network = FakeNetwork(otherwise=FakeList())
    async with laboratory(network=network) as lab:
        one = fuse(lab)
        assert await one.prove(now()) == ""
        await trio.sleep(1)
        remembered = {f"{point}.{ZONE}" for point in ("1.0.0.127", "2.0.0.127")}
        well, mad = FakeList(), FakeList(instead=lists_the_world)
        network.otherwise = lambda name, kind: (well if name in remembered else mad)(name, kind)
        assert await one.prove(now()) == OFF
        assert "nobody may list" in one.off


async def test_many_who_wait_share_a_test(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(otherwise=FakeList())) as lab:
        one = fuse(lab)
        heard: list[str] = []

        async def prove(delay: float) -> None:
            await trio.sleep(delay)
            heard.append(await one.prove(now()))

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(prove, 0.005 if number < 50 else 0)
        assert heard == [""] * 100
        # One test that began with the first, one behind it for those whose answer came later.
        assert len(lab.network.asked) == 4


async def test_while_nobody_can_be_asked_nothing_is_said_of_the_list(autojump_clock: MockClock) -> None:
    network = FakeNetwork(otherwise=FakeList(), silent={ONE: Silence.UNREACHABLE})
    async with laboratory(network=network) as lab:
        await lab.resolver.ask("a.test", "A")
        one = fuse(lab)
        assert await one.prove(now()) == "dns_down"
        assert one.off == ""
        assert lab.journal.of(Event.LIST_OFF) == []


async def test_a_dead_list_is_noticed_by_its_silence(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(otherwise=FakeList(instead=broken))) as lab:
        one = fuse(lab)
        for _ in range(FAILURES):
            assert one.off == ""
            one.failed(Status.TIMEOUT)
            one.failed(Status.BUDGET)
            await wait_all_tasks_blocked()
        await trio.sleep(1)
        assert "no answer" in one.off


async def test_a_list_that_lists_nothing_any_more_is_noticed(autojump_clock: MockClock) -> None:
    network = FakeNetwork(otherwise=FakeList())
    async with laboratory(network=network) as lab:
        one = fuse(lab)
        one.answered()
        one.answered()
        await trio.sleep(1)
        assert (len(network.asked), one.off) == (3, "")
        network.otherwise = FakeList(instead=empty)
        await trio.sleep(LOOK_AFTER)
        one.answered()
        await trio.sleep(1)
        assert "does not list" in one.off


async def test_a_list_without_test_points(autojump_clock: MockClock) -> None:
    """Somebody's own list may have none; what is drawn by lot it must not have either."""
    network = FakeNetwork(otherwise=FakeList(instead=empty))
    async with laboratory(network=network) as lab:
        assert await fuse(lab, Points("", "")).prove(now()) == ""
        assert len(network.asked) == 1
        network.otherwise = FakeList(instead=lists_the_world)
        await trio.sleep(1)
        assert await fuse(lab, Points("", "")).prove(now()) == OFF


async def test_a_list_of_another_kind_has_points_of_its_own(autojump_clock: MockClock) -> None:
    zone = {(f"listed.example.{ZONE}", "A"): found("127.0.0.9")}
    async with laboratory(network=FakeNetwork(zone)) as lab:
        points = Points("listed.example", "unlisted.example", domains=True)
        assert await fuse(lab, points).prove(now()) == ""


async def test_a_bug_in_a_test_makes_the_list_unsure_and_ends_no_worker(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nursery is that of everything in the background: an exception in it was the end of the worker."""

    async def crash(_name: str, _kind: str) -> Answer:
        raise ValueError("odd")

    async with laboratory(network=FakeNetwork(otherwise=FakeList())) as lab:
        one, answer = fuse(lab), now()
        with monkeypatch.context() as patched:
            patched.setattr(lab.resolver, "ask_anew", crash)
            assert await one.prove(answer) == CRASHED
            one.trip("mad")
            await trio.sleep(LONGEST_PAUSE)
            assert one.off == "mad"
            assert 2 <= len(lab.journal.of(Event.CRASH)) <= 7
        await trio.sleep(2 * LONGEST_PAUSE)
        assert not one.off
        assert await one.prove(now()) == ""
        crash_line = lab.journal.of(Event.CRASH)[0]
        assert (crash_line["where"], str(crash_line["error"])) == ("dns list", "odd")
        assert crash_line["traceback"] is not None
