"""What was answered of single addresses: how long it counts, and that it is asked for once."""

import trio
import trio.testing

from smtproxy.lookups.recipients.entries import MISSING, PRESENT
from smtproxy.lookups.recipients.remembered import Answer, Remembered
from smtproxy.lookups.recipients.source import Opinion
from smtproxy.lookups.recipients.spelling import Address
from smtproxy.policy.evidence import Known, Unknown

ANNA, BOB = Address("anna", "example.org"), Address("bob", "example.org")
EXISTS, LACKS = Known(PRESENT), Known(MISSING)


class Desk:
    """Answers, a clock, and how often somebody was asked."""

    def __init__(self, most: int = 10) -> None:
        self.now = 1e9
        self.asked = 0
        self.answers = Remembered[Opinion](lambda: self.now, most)

    async def ask(self, address: Address, opinion: Opinion, lives: float = 60.0) -> Opinion:
        """Ask, and be told this."""

        async def question() -> Answer[Opinion]:
            self.asked += 1
            await trio.testing.wait_all_tasks_blocked()
            return Answer(opinion, lives)

        return await self.answers.ask(address, question)


async def test_it_counts_as_long_as_it_lives() -> None:
    desk = Desk()
    assert desk.answers.fresh(ANNA) is None
    assert await desk.ask(ANNA, LACKS) == LACKS
    for now, fresh in ((1e9, LACKS), (1e9 + 59.9, LACKS), (1e9 + 60, None), (1e9 - 1, None)):
        desk.now = now
        assert desk.answers.fresh(ANNA) == fresh


async def test_what_is_not_kept_counts_for_those_who_ask() -> None:
    desk = Desk()
    found: list[Opinion] = []

    async def ask() -> None:
        found.append(await desk.ask(ANNA, Unknown("down"), 0.0))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert found == [Unknown("down")] * 3
    assert (desk.asked, len(desk.answers)) == (1, 0)
    await ask()
    assert desk.asked == 2


async def test_if_who_asks_gives_up_the_next_one_asks() -> None:
    desk = Desk()
    found: list[Opinion] = []

    async def never() -> Answer[Opinion]:
        await trio.sleep_forever()
        raise AssertionError

    async def ask() -> None:
        found.append(await desk.ask(ANNA, EXISTS))

    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def ask_first() -> None:
            with first:
                await desk.answers.ask(ANNA, never)

        nursery.start_soon(ask_first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask)
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert found == []
        first.cancel()
    assert found == [EXISTS, EXISTS]
    assert desk.asked == 1


async def test_who_existed_may_count_for_longer() -> None:
    desk = Desk()
    await desk.ask(ANNA, EXISTS)
    await desk.ask(BOB, LACKS)
    desk.now += 100
    assert desk.answers.existed(ANNA, 101) == EXISTS
    assert desk.answers.existed(ANNA, 100) is None
    assert desk.answers.existed(BOB, 101) is None
    assert desk.answers.existed(Address("carl", "example.org"), 101) is None


async def test_the_oldest_answers_go_first() -> None:
    desk = Desk(most=2)
    carl = Address("carl", "example.org")
    for address in (ANNA, BOB, ANNA, carl):
        await desk.ask(address, EXISTS)
    assert [desk.answers.fresh(one) for one in (ANNA, BOB, carl)] == [EXISTS, None, EXISTS]


async def test_a_harvest_pushes_out_nobody_who_exists() -> None:
    desk = Desk(most=5)
    await desk.ask(ANNA, EXISTS)
    for number in range(10):
        await desk.ask(Address(f"n{number}", "example.org"), LACKS)
    assert desk.answers.fresh(ANNA) == EXISTS
    missing = [desk.answers.fresh(Address(f"n{number}", "example.org")) for number in range(10)]
    assert missing == [None] * 5 + [LACKS] * 5
    assert len(desk.answers) == 1


async def test_what_is_younger_than_a_reading_stays() -> None:
    desk = Desk()
    await desk.ask(ANNA, EXISTS)
    desk.now += 1
    await desk.ask(BOB, LACKS)
    desk.answers.forget_before(desk.now)
    assert (desk.answers.fresh(ANNA), desk.answers.fresh(BOB)) == (None, LACKS)


async def test_forgetting() -> None:
    desk = Desk()
    await desk.ask(ANNA, EXISTS)
    await desk.ask(BOB, EXISTS)
    assert desk.answers.forget(ANNA)
    assert not desk.answers.forget(ANNA)
    assert desk.answers.clear() == 1
    assert desk.answers.fresh(BOB) is None
