"""The resolver: memory, one question for all, budgets, deadlines. On a fake network and trio's mock clock."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.exchange import Silence
from smtproxy.network.dns.resolver import (
    FAILURE_TTL,
    SHORTEST_TTL,
    AtHand,
    BudgetedResolver,
    DnsSettings,
)
from smtproxy.network.inquiry import NotAtHand
from smtproxy.session.records import Event
from tests.network.dns.fakes import ONE, TWO, FakeNetwork, found, laboratory

YES = found("192.0.2.1", ttl=30)
ZONE = {("a.test", "A"): YES}


async def test_an_answer_is_remembered_as_long_as_it_holds(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(dict(ZONE))) as lab:
        for name in ("a.test", "A.Test", "a.test.", "A.TEST."):
            assert await lab.resolver.ask(name, "A") == YES
        assert lab.network.names() == ["a.test"]
        await trio.sleep(29)
        await lab.resolver.ask("a.test", "A")
        assert lab.network.names() == ["a.test"]
        await trio.sleep(2)
        await lab.resolver.ask("a.test", "A")
        assert lab.network.names() == ["a.test"] * 2


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (Answer(Status.NO_NAME, (), 30), 30),
        (Answer(Status.NO_DATA, (), 1e9), 900),
        (Answer(Status.NO_NAME, (), 0), SHORTEST_TTL),
        (found("192.0.2.1", ttl=1e9), 3600),
        (found("192.0.2.1", ttl=0), SHORTEST_TTL),
        (Answer(Status.SERVFAIL), FAILURE_TTL),
    ],
)
async def test_bounds_of_memory(answer: Answer, kept: float, autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork({("a.test", "A"): answer})) as lab:
        said = await lab.resolver.ask("a.test", "A")
        assert (said.status, said.records, said.ttl) == (answer.status, answer.records, kept)
        assert said.at == trio.current_time()
        await trio.sleep(kept - 0.01)
        assert lab.resolver.at_hand("a.test", "A") == said
        await trio.sleep(0.02)
        assert lab.resolver.at_hand("a.test", "A") is None


async def test_one_question_for_all_who_ask_the_same(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(dict(ZONE))) as lab:
        heard: list[Answer] = []

        async def ask() -> None:
            heard.append(await lab.resolver.ask("a.test", "A"))

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(ask)
        assert heard == [YES] * 100
        assert len(lab.network.asked) == 1


async def test_who_gives_up_harms_nobody_else(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(dict(ZONE))) as lab:
        heard: list[Answer] = []

        async def ask(patience: float) -> None:
            with trio.move_on_after(patience):
                heard.append(await lab.resolver.ask("a.test", "A"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, 0.001)
            await wait_all_tasks_blocked()
            nursery.start_soon(ask, 1)
        assert heard == [YES]
        assert len(lab.network.asked) == 1


async def test_questions_at_once_are_bounded_and_others_wait(autojump_clock: MockClock) -> None:
    async with laboratory(DnsSettings(concurrent=3)) as lab:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(lab.resolver.ask, f"{number}.test", "A")
        assert lab.network.most_at_once == 3
        assert len(lab.network.asked) == 20


async def test_who_waits_for_a_place_waits_no_longer_than_for_an_answer(autojump_clock: MockClock) -> None:
    network = FakeNetwork(takes=4)
    async with laboratory(DnsSettings(concurrent=1, timeout=5, attempt=5), network) as lab:
        lab.nursery.start_soon(lab.resolver.ask, "a.test", "A")
        lab.nursery.start_soon(lab.resolver.ask, "b.test", "A")
        await wait_all_tasks_blocked()
        begin = trio.current_time()
        assert (await lab.resolver.ask("c.test", "A")).status is Status.TIMEOUT
        assert trio.current_time() - begin == pytest.approx(5)
        await trio.sleep(60)
        assert (await lab.resolver.ask("d.test", "A")).status is Status.NO_NAME


async def test_waiting_is_bounded_too(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtproxy.network.dns.resolver.MOST_WAITING", 2)
    async with laboratory(DnsSettings(concurrent=1)) as lab:
        for number in range(3):
            lab.nursery.start_soon(lab.resolver.ask, f"{number}.test", "A")
            await wait_all_tasks_blocked()
        assert await lab.resolver.ask("x.test", "A") == Answer(Status.BUDGET)


@pytest.mark.parametrize(("whole", "attempt"), [(5, 1.5), (5, 5), (1, 9), (0.5, 0.2)])
async def test_deadlines_hold(whole: float, attempt: float, autojump_clock: MockClock) -> None:
    network = FakeNetwork(silent={ONE: Silence.TIMEOUT, TWO: Silence.TIMEOUT})
    async with laboratory(DnsSettings((ONE, TWO), timeout=whole, attempt=attempt), network) as lab:
        begin = trio.current_time()
        assert (await lab.resolver.ask("a.test", "A")).status is Status.TIMEOUT
        assert trio.current_time() - begin == pytest.approx(whole)


async def test_another_server_may_know_better(autojump_clock: MockClock) -> None:
    async with laboratory(DnsSettings((ONE, TWO)), FakeNetwork(dict(ZONE), broken={ONE})) as lab:
        assert await lab.resolver.ask("a.test", "A") == YES
        lab.network.broken.add(TWO)
        assert (await lab.resolver.ask("b.test", "A")).status is Status.SERVFAIL
        assert [server for server, _, _ in lab.network.asked] == [ONE, TWO, ONE, TWO]


async def test_a_name_that_cannot_be_asked_for(autojump_clock: MockClock) -> None:
    async with laboratory() as lab:
        assert (await lab.resolver.ask("x" * 64 + ".test", "A")).status is Status.INVALID
        assert lab.network.asked == []


async def test_to_ask_anew_is_to_ask(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(dict(ZONE))) as lab:
        await lab.resolver.ask("a.test", "A")
        lab.network.zone[("a.test", "A")] = found("192.0.2.2")
        assert await lab.resolver.ask("a.test", "A") == YES
        assert (await lab.resolver.ask_anew("a.test", "A")).records == ("192.0.2.2",)
        assert (await lab.resolver.ask("a.test", "A")).records == ("192.0.2.2",)
        lab.resolver.forget("Test.")
        assert lab.resolver.at_hand("a.test", "A") is None


async def test_a_session_has_a_budget(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(dict(ZONE))) as lab:
        mine, yours = BudgetedResolver(lab.resolver, 2), BudgetedResolver(lab.resolver, 2)
        for _ in range(5):
            assert await mine.ask("a.test", "A") == YES
        await mine.ask("b.test", "A")
        assert await mine.ask("c.test", "A") == Answer(Status.BUDGET)
        assert await mine.ask("a.test", "A") == YES
        assert (await yours.ask("c.test", "A")).status is Status.NO_NAME
        assert (mine.left, yours.left) == (0, 1)


async def test_memory_alone(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(dict(ZONE))) as lab:
        memory = AtHand(lab.resolver)
        with pytest.raises(NotAtHand):
            await memory.ask("a.test", "A")
        await lab.resolver.ask("a.test", "A")
        assert await memory.ask("a.test", "A") == YES
        assert len(lab.network.asked) == 1


async def test_a_crash_is_an_answer(autojump_clock: MockClock) -> None:
    def crash(_name: str, _kind: str) -> Answer:
        raise RuntimeError("broken")

    async with laboratory(network=FakeNetwork(otherwise=crash)) as lab:
        assert (await lab.resolver.ask("a.test", "A")).status is Status.SERVFAIL
        assert "broken" in str(lab.journal.one(Event.CRASH)["error"])
        assert (await lab.resolver.ask("a.test", "A")).status is Status.SERVFAIL


async def test_memory_is_bounded(autojump_clock: MockClock) -> None:
    async with laboratory(DnsSettings(cache_entries=50)) as lab:
        for number in range(200):
            await lab.resolver.ask(f"{number}.test", "A")
        assert len(lab.resolver.cache) == 50
