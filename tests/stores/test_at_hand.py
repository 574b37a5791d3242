"""What is at hand of the store, where it is this machine's own and where machines share one."""

import trio
from trio.testing import MockClock

from smtproxy.stores.at_hand import ASK_AGAIN, BRING_AGAIN, HELD, MOST_ASKED, MOST_HELD, AtHand
from smtproxy.stores.keys import compose, private
from smtproxy.stores.memory import MemoryStore
from smtproxy.stores.store import Kept
from tests.fakes.clock import FakeClock
from tests.stores.tables import memory_store

DAY = 86400.0


class Shared(MemoryStore):
    """A store of several machines, as far as anybody can tell."""

    waits = True


def shared() -> Shared:
    return Shared(memory_store()._table, FakeClock())


async def test_alone() -> None:
    async with trio.open_nursery() as nursery:
        here = memory_store()
        kept = AtHand(here, here, None, nursery.start_soon)
        for _ in range(3):
            kept.add("delivered", "192.0.2.0/24", DAY)
        kept.mark("patient", "192.0.2.1", DAY)
        kept.fetch("delivered", "192.0.2.0/24", DAY)
        assert round(kept.count("delivered", "192.0.2.0/24", DAY), 3) == 3
        assert kept.marked("patient", "192.0.2.1")
        assert not kept.marked("patient", "192.0.2.2")


async def test_many_things_at_once_are_what_each_is_alone() -> None:
    async with trio.open_nursery() as nursery:
        here = memory_store()
        kept = AtHand(here, here, b"secret", nursery.start_soon)
        kept.add("refused", "192.0.2.1", DAY, 2.5)
        kept.settle()
        kept.add("refused", "192.0.2.1", DAY)
        kept.put("penalty", "192.0.2.1", "for nothing", 60.0)
        (none, penalty), (none_counted, refused) = kept.look(
            [("entry", "192.0.2.1"), ("penalty", "192.0.2.1")],
            [("refused", "192.0.2.2", DAY), ("refused", "192.0.2.1", DAY)],
        )
        assert (none, none_counted, round(refused, 3)) == (None, 0.0, 3.5)
        assert penalty is not None
        assert (penalty.text, penalty.expires - penalty.since) == ("for nothing", 60.0)


async def test_what_a_person_sets_is_kept_until_a_person_lifts_it() -> None:
    async with trio.open_nursery() as nursery:
        here = memory_store()
        kept = AtHand(here, here, b"secret", nursery.start_soon)
        assert kept.pin("entry", "192.0.2.1", "block anna", 60.0)
        kept.put("entry", "192.0.2.1", "learned otherwise", 60.0)
        ((name, record),) = kept.scan("entry")
        assert (record.text, record.pinned) == ("block anna", True)
        assert name == private("192.0.2.1", b"secret")
        assert kept.look([("entry", name)], [])[0] == kept.look([("entry", "192.0.2.1")], [])[0]
        assert kept.lift("entry", name)
        assert not kept.lift("entry", "192.0.2.1")
        assert kept.scan("entry") == []


async def test_what_another_machine_has_seen_is_known_here_when_it_was_fetched() -> None:
    store, one, other = shared(), memory_store(), memory_store()
    async with trio.open_nursery() as nursery:
        there, here = AtHand(store, one, None, nursery.start_soon), AtHand(store, other, None, nursery.start_soon)
        for _ in range(3):
            there.add("delivered", "example.org", DAY)
        there.settle()
        there.mark("patient", "192.0.2.1", DAY)
        assert here.count("delivered", "example.org", DAY) == 0
        assert not here.marked("patient", "192.0.2.1")
        async with trio.open_nursery() as asking:
            here = AtHand(store, other, None, asking.start_soon)
            for _ in range(2):
                here.fetch("delivered", "example.org", DAY)
            here.fetch_mark("patient", "192.0.2.1", DAY)
            here.fetch_mark("patient", "192.0.2.2", DAY)
        assert round(here.count("delivered", "example.org", DAY), 3) == 3
        assert here.marked("patient", "192.0.2.1")
        assert not here.marked("patient", "192.0.2.2")
        here.add("delivered", "example.org", DAY)
        assert round(here.count("delivered", "example.org", DAY), 3) == 4
        here.settle()
        assert round(store.count_now(compose("delivered", "example.org"), DAY), 3) == 4


async def test_others_are_asked_once_in_a_while_for_the_same(autojump_clock: MockClock) -> None:
    asked: list[str] = []

    class Watched(Shared):
        async def count(self, key: str, half_life: float) -> float:
            asked.append(key)
            return await super().count(key, half_life)

    async with trio.open_nursery() as nursery:
        here = AtHand(Watched(memory_store()._table, FakeClock()), memory_store(), None, nursery.start_soon)
        for name in ("a.example", "b.example", "a.example"):
            here.fetch("delivered", name, DAY)
        await trio.sleep(ASK_AGAIN - 0.1)
        here.fetch("delivered", "b.example", DAY)
        await trio.sleep(0.2)
        here.fetch("delivered", "b.example", DAY)
    assert sorted(asked) == [compose("delivered", name) for name in ("a.example", "b.example", "b.example")]


async def test_what_others_were_asked_for_is_bounded() -> None:
    here = AtHand(shared(), memory_store(), None, lambda _: None)
    for number in range(MOST_ASKED + 1):
        here.fetch("delivered", f"{number}.example", DAY)
    assert len(here._asked) == 1


async def test_what_is_counted_in_a_second_is_one_change_of_the_table(autojump_clock: MockClock) -> None:
    here, added = memory_store(), list[tuple[str, float]]()

    class Watched(MemoryStore):
        def note_add(self, key: str, amount: float, half_life: float) -> None:
            added.append((key, amount))
            super().note_add(key, amount, half_life)

    watched = Watched(here._table, FakeClock())
    async with trio.open_nursery() as nursery:
        kept = AtHand(watched, watched, None, nursery.start_soon)
        nursery.start_soon(kept.run)
        for _ in range(3):
            kept.add("delivered", "example.org", DAY)
        assert added == []
        await trio.sleep(HELD + 0.1)
        assert added == [(compose("delivered", "example.org"), 3.0)]
        kept.add("delivered", "example.org", DAY)
        nursery.cancel_scope.cancel()
    assert added[1:] == [(compose("delivered", "example.org"), 1.0)], "what was held back at the end is lost"


async def test_no_more_than_so_many_names_are_held_back() -> None:
    here = memory_store()
    async with trio.open_nursery() as nursery:
        kept = AtHand(here, here, None, nursery.start_soon)
        for number in range(MOST_HELD + 1):
            kept.add("delivered", f"{number}.example", DAY)
        assert round(here.count_now(compose("delivered", f"{MOST_HELD}.example"), DAY), 3) == 1


async def test_names_are_kept_as_hashes_where_privacy_is_wanted() -> None:
    secret = b"0123456789abcdef"
    async with trio.open_nursery() as nursery:
        here = memory_store()
        kept = AtHand(here, here, secret, nursery.start_soon)
        kept.mark("patient", "192.0.2.1", DAY)
        assert kept.marked("patient", "192.0.2.1")
        assert here.get_now(compose("patient", "192.0.2.1")) is None
        assert here.get_now(compose("patient", private("192.0.2.1", secret))) is not None


async def test_texts_alone() -> None:
    async with trio.open_nursery() as nursery:
        here = memory_store()
        kept = AtHand(here, here, None, nursery.start_soon)
        kept.put("grey-pass", "example.org", "12.5", DAY)
        assert (kept.text("grey-pass", "example.org"), kept.shared) == ("12.5", False)
        assert kept.text("grey-pass", "example.net") is None


async def test_a_text_of_another_machine_is_known_here_when_it_was_brought() -> None:
    store, one, other = shared(), memory_store(), memory_store()
    async with trio.open_nursery() as nursery:
        there, here = AtHand(store, one, None, nursery.start_soon), AtHand(store, other, None, nursery.start_soon)
        there.put("grey-pass", "example.org", "12.5", DAY)
        assert here.shared
        assert here.text("grey-pass", "example.org") is None
        await here.bring("grey-pass", "example.org", DAY)
        await here.bring("grey-pass", "example.net", DAY)
        assert here.text("grey-pass", "example.org") == "12.5"
        assert here.text("grey-pass", "example.net") is None


async def test_texts_are_named_by_hashes_where_privacy_is_wanted() -> None:
    secret = b"0123456789abcdef"
    async with trio.open_nursery() as nursery:
        here = memory_store()
        kept = AtHand(here, here, secret, nursery.start_soon)
        kept.put("grey-first", "example.net a@example.net example.org", "12.5", DAY)
        assert [key.rpartition("/")[2][0] for key, _ in await here.scan("1/grey-first/")] == ["~"]


async def test_other_machines_are_asked_for_a_text_once_in_a_while(autojump_clock: MockClock) -> None:
    store, other, asked = shared(), memory_store(), list[str]()

    class Watched(Shared):
        async def get(self, key: str) -> Kept | None:
            asked.append(key)
            return await super().get(key)

    watched = Watched(store._table, FakeClock())
    async with trio.open_nursery() as nursery:
        here = AtHand(watched, other, None, nursery.start_soon)
        for _ in range(3):
            await here.bring("grey-pass", "example.org", DAY)
        await here.bring("grey-first", "example.org", DAY)
        assert asked == [compose("grey-pass", "example.org"), compose("grey-first", "example.org")]
        store.note_put(compose("grey-pass", "example.org"), "12.5", DAY)
        await trio.sleep(BRING_AGAIN + 0.1)
        await here.bring("grey-pass", "example.org", DAY)
        assert here.text("grey-pass", "example.org") == "12.5"
