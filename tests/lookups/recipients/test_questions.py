"""Single addresses: what is remembered, and how much is asked."""

from collections.abc import Sequence

import trio
import trio.testing

from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.exchange import Item
from smtproxy.lookups.recipients.questions import BURST, TOO_MANY, Questions, QuestionSettings
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import RecipientEntry

ANNA, NOBODY = Address("anna", "example.org"), Address("nobody", "example.org")


class Stage:
    """A directory as a list of names, and a clock."""

    def __init__(self, settings: QuestionSettings | None = None, delimiter: str = "") -> None:
        self.names: list[str] | None = ["anna"]
        self.now = 1000.0
        self.searches: list[list[str]] = []
        self.goes_on = trio.Event()
        self.goes_on.set()
        self.questions = Questions(
            settings or QuestionSettings(), Spelling(delimiter=delimiter), self.search, lambda: self.now
        )

    async def search(self, addresses: Sequence[Address]) -> list[Item]:
        self.searches.append([str(one) for one in addresses])
        await self.goes_on.wait()
        if self.names is None:
            raise SourceError("dc1: down")
        found = [one for one in addresses if one.local in self.names]
        return [Item(f"cn={one.local}", {"mail": [str(one)]}) for one in found]


def says(fact: Fact[RecipientEntry]) -> bool | str:
    return fact.value.exists if isinstance(fact, Known) else fact.reason


async def test_answers_are_remembered_for_a_while() -> None:
    stage = Stage()
    assert [says(await stage.questions.ask(one)) for one in (ANNA, NOBODY)] == [True, False]
    for later, yes, no in ((59, True, False), (60, True, None), (900, None, None)):
        stage.now = 1000.0 + later
        found = [stage.questions.remembered(one) for one in (ANNA, NOBODY)]
        assert [None if one is None else says(one) for one in found] == [yes, no]
    outlived = stage.questions.outlived(ANNA)
    assert outlived is not None
    assert says(outlived) is True
    assert stage.questions.outlived(NOBODY) is None
    stage.now += 86400.0
    assert stage.questions.outlived(ANNA) is None


async def test_no_answer_is_none() -> None:
    stage = Stage()
    stage.names = None
    assert says(await stage.questions.ask(ANNA)) == "dc1: down"
    assert stage.questions.remembered(ANNA) is None


async def test_tags_are_asked_for_in_the_same_question() -> None:
    stage = Stage(delimiter="+")
    assert says(await stage.questions.ask(Address("anna+tag", "example.org"))) is True
    assert stage.searches == [["anna+tag@example.org", "anna@example.org"]]


async def test_another_object_does_not_count() -> None:
    """A server that does not compare as we do, or answers another question."""
    stage = Stage()

    async def search(_: Sequence[Address]) -> list[Item]:
        return [Item("cn=b", {"proxyaddresses": ["smtp:bert@example.org", "X500:anna@example.org"]})]

    stage.questions = Questions(QuestionSettings(), Spelling(), search, lambda: stage.now)
    assert says(await stage.questions.ask(ANNA)) is False


async def test_all_who_ask_the_same_ask_once() -> None:
    stage = Stage()
    stage.goes_on = trio.Event()
    answers: list[bool | str] = []

    async def ask() -> None:
        answers.append(says(await stage.questions.ask(ANNA)))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        stage.goes_on.set()
    assert (answers, len(stage.searches)) == ([True] * 10, 1)


async def test_when_the_one_who_asks_is_called_off_another_one_asks() -> None:
    stage = Stage()
    stage.goes_on = trio.Event()
    answers: list[bool | str] = []

    async def ask() -> None:
        answers.append(says(await stage.questions.ask(ANNA)))

    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()
        with first:
            async with trio.open_nursery() as inner:
                inner.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(ask)
                nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked()
                first.cancel()
        await trio.testing.wait_all_tasks_blocked()
        stage.goes_on.set()
    assert (answers, len(stage.searches)) == ([True, True], 2)


async def test_a_harvest_is_no_load() -> None:
    """10,000 random addresses a minute: so many are asked for, and no more."""
    stage = Stage(QuestionSettings(per_minute=600))
    asked = 0
    for number in range(10_000):
        stage.now = 1000.0 + number * 60 / 10_000
        fact = await stage.questions.ask(Address(f"n{number}", "example.org"))
        asked += fact != Unknown(TOO_MANY)
    assert asked == len(stage.searches) == stage.questions.asked
    assert 600 <= asked <= 600 + 600 / 60 * BURST + 1
    assert stage.questions.full()
    stage.now += 1
    assert not stage.questions.full()


async def test_forgetting() -> None:
    stage = Stage()
    await stage.questions.ask(ANNA)
    await stage.questions.ask(NOBODY)
    assert stage.questions.forget(NOBODY)
    assert not stage.questions.forget(NOBODY)
    stage.questions.forget_before(1000.0)
    assert stage.questions.remembered(ANNA) is not None
    stage.now += 1
    stage.questions.forget_before(stage.questions.now())
    assert stage.questions.remembered(ANNA) is None


async def test_what_was_missing_and_came_is_no_longer_missing() -> None:
    stage = Stage()
    assert says(await stage.questions.ask(NOBODY)) is False
    stage.now += 60
    stage.names = ["nobody"]
    assert says(await stage.questions.ask(NOBODY)) is True
    stage.now += 900
    stage.names = []
    assert says(await stage.questions.ask(NOBODY)) is False
    assert stage.questions.outlived(NOBODY) is None
