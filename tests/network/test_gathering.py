"""Facts for one session: from memory if they are there, else beside it; a verdict waits for them, but not for ever."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from smtproxy.lookups.greylist import Greylisted
from smtproxy.lookups.reputation import lookups
from smtproxy.network.dns.answers import Answer, Resolver, Status
from smtproxy.network.gathering import Gathering, Sources
from smtproxy.network.inquiry import Inquiry, Lookup, NotAtHand
from smtproxy.network.waiting import Waiting
from smtproxy.policy.acquaintances import Acquaintances
from smtproxy.policy.checks import blocked
from smtproxy.policy.evidence import Evidence, Fact, Known, Unknown
from smtproxy.policy.exemptions import Exemption, Match
from smtproxy.policy.facts import (
    ARC,
    DKIM,
    HEADER,
    LIMITS_RECIPIENT,
    REPUTATION,
    REVERSE_NAME,
    SENDER_DOMAIN,
    SPF,
    Exceeded,
    Key,
    ReverseName,
    SenderDomain,
    Signatures,
    Spf,
)
from smtproxy.policy.findings import Action, CannotTell, CheckSpec, Finding, OnError
from smtproxy.policy.governor import Governor, GovernorSettings
from smtproxy.policy.greylist import Greylisting, GreylistMemory, Windows
from smtproxy.policy.judge import Check, Policy
from smtproxy.policy.rate_limits import Of, Per, RateLimit, rate_limit_check
from smtproxy.policy.replies import Phrasebook, Reason
from smtproxy.policy.reputation import BALANCED, PENALTY, Reputations, ReputationSettings
from smtproxy.session.dialogue import Dialogue, Hello
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.events import Crashed, Judged
from smtproxy.session.memory import Memory
from smtproxy.session.records import Event
from smtproxy.session.settings import RelaySettings
from smtproxy.session.verdicts import Accepted, Refused, Stage
from smtproxy.wire.paths import Path
from smtproxy.wire.replies import Reply
from tests.fakes.journal import FakeJournal
from tests.fakes.remembering import FakeRemembering
from tests.fakes.texts import FakeTexts

PASSES = Known(Spf("pass", "sender.example"))
FAILS = Known(Spf("fail", "sender.example"))


class _Dns:
    def __init__(self, *, at_hand: bool) -> None:
        self.at_hand = at_hand
        self.asked = 0

    async def ask(self, name: str, kind: str) -> Answer:
        self.asked += 1
        if self.at_hand:
            raise NotAtHand
        await trio.sleep(1)
        return Answer(Status.FOUND, ("192.0.2.1",), 60)


def _spf(_options: object, evidence: Evidence) -> Finding | CannotTell | None:
    fact = evidence.get(SPF)
    if isinstance(fact, Unknown):
        return CannotTell(SPF.name, fact.reason)
    return Finding(Reason.HELLO_FORGED) if fact.value.result == "fail" else None


def _needs(key: Key[Any], *, on_error: OnError = OnError.PASS, stage: Stage = Stage.MAIL) -> Check:
    run = _spf if key is SPF else lambda *_: None
    return Check(CheckSpec(f"c_{key.name}", frozenset({stage}), dict, run, needs=(key,)), None, Action.REJECT, on_error)


class Bench:
    """A gathering with its lookups, and what happened."""

    def __init__(
        self,
        nursery: trio.Nursery,
        checks: tuple[Check, ...] | Policy,
        *lookups: Lookup[Any],
        **more: Any,  # noqa: ANN401
    ) -> None:
        self.journal = FakeJournal()
        self.dns = _Dns(at_hand=False)
        self.waiting = Waiting()
        self.dialogue = Dialogue("s", "192.0.2.10", hello=Hello("EHLO", "client.example"))
        self.sources = Sources(
            {one.key.name: one for one in lookups},
            nursery,
            _Dns(at_hand=True),
            self._resolver,
            self.journal,
            lambda: 1e9,
            **more,
        )
        self.gathering = Gathering(
            checks if isinstance(checks, Policy) else Policy(checks),
            self.dialogue,
            Phrasebook("mx", "s"),
            RelaySettings("mx", authserv_id="mx"),
            self.sources,
        )

    def _resolver(self) -> Resolver:
        return self.dns

    def begin(self) -> None:
        """Come to RCPT."""
        assert self.gathering.judge(Stage.CONNECT) == Accepted(Stage.CONNECT)
        assert self.gathering.judge(Stage.HELLO) == Accepted(Stage.HELLO)
        self.dialogue.envelope = Envelope(Path("a", "sender.example"))
        assert self.gathering.judge(Stage.MAIL) == Accepted(Stage.MAIL)
        self.dialogue.recipient = Recipient(Path("u", "example.org"))
        self.dialogue.envelope.recipients.append(self.dialogue.recipient)

    async def verdict(self, stage: Stage) -> tuple[Accepted | Refused, float]:
        """Wait for a verdict; return it with the seconds it took."""
        began = trio.current_time()
        self.gathering.wait(stage, self.waiting, began + 3600)
        await self.waiting.mail(began + 3600)
        event = self.waiting.take()
        assert isinstance(event, Judged)
        return event.verdict, round(trio.current_time() - began)


def _lookup(key: Key[Any], fact: Fact[Any], *, seconds: float = 0, calls: list[str] | None = None) -> Lookup[Any]:
    async def find(inquiry: Inquiry) -> Fact[Any]:
        if calls is not None and not inquiry.quick:
            calls.append(f"{inquiry.client} {inquiry.sender}")
        if seconds:
            await inquiry.dns.ask("x", "A")
            await trio.sleep(seconds - 1)
        return fact

    return Lookup(key, find)


async def test_what_is_at_hand_costs_no_task_and_no_wait() -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, (_needs(SPF),), _lookup(SPF, FAILS))
        bench.begin()
        verdict = bench.gathering.judge(Stage.RECIPIENT)
        assert isinstance(verdict, Refused)
        assert not nursery.child_tasks


async def test_what_is_not_is_fetched_beside_and_the_verdict_waits(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        calls: list[str] = []
        bench = Bench(nursery, (_needs(SPF),), _lookup(SPF, FAILS, seconds=3, calls=calls))
        bench.begin()
        assert bench.gathering.judge(Stage.RECIPIENT) is None
        verdict, took = await bench.verdict(Stage.RECIPIENT)
        assert isinstance(verdict, Refused)
        assert took == 3
        assert calls == ["192.0.2.10 a@sender.example"]
        # The next recipient of the same transaction finds it there.
        assert isinstance(bench.gathering.judge(Stage.RECIPIENT), Refused)
        assert len(calls) == 1


@pytest.mark.parametrize(("on_error", "refused"), [(OnError.PASS, False), (OnError.DEFER, True)])
async def test_what_is_late_is_unknown(on_error: OnError, refused: bool, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, (_needs(SPF, on_error=on_error),), _lookup(SPF, FAILS, seconds=100))
        bench.begin()
        assert bench.gathering.judge(Stage.RECIPIENT) is None
        verdict, took = await bench.verdict(Stage.RECIPIENT)
        assert isinstance(verdict, Refused) is refused
        assert took == 10
        assert verdict.notes[0]["unknown"] == "timeout"
        nursery.cancel_scope.cancel()


async def test_a_lookup_that_crashes_is_unknown_and_logged(autojump_clock: MockClock) -> None:
    async def slowly(_inquiry: Inquiry) -> Fact[Spf]:
        await trio.sleep(1)
        raise ZeroDivisionError

    async def at_once(_inquiry: Inquiry) -> Fact[SenderDomain]:
        raise ZeroDivisionError

    async with trio.open_nursery() as nursery:
        checks = (_needs(SPF), _needs(SENDER_DOMAIN))
        bench = Bench(nursery, checks, Lookup(SPF, slowly), Lookup(SENDER_DOMAIN, at_once))
        bench.begin()
        assert bench.gathering.judge(Stage.RECIPIENT) is None
        verdict, _ = await bench.verdict(Stage.RECIPIENT)
        assert isinstance(verdict, Accepted)
        assert {line["where"] for line in bench.journal.of(Event.CRASH)} == {"lookup spf", "lookup sender_domain"}


async def test_a_fact_may_need_another_one_and_each_is_looked_up_once(autojump_clock: MockClock) -> None:
    calls: list[str] = []

    async def both(inquiry: Inquiry) -> Fact[SenderDomain]:
        fact = await inquiry.fact(SPF)
        assert isinstance(fact, Known)
        return Known(SenderDomain(exists=fact.value.result == "pass"))

    async with trio.open_nursery() as nursery:
        checks = (_needs(SENDER_DOMAIN), _needs(SPF))
        bench = Bench(nursery, checks, _lookup(SPF, PASSES, seconds=2, calls=calls), Lookup(SENDER_DOMAIN, both))
        bench.begin()
        assert bench.gathering.judge(Stage.RECIPIENT) is None
        verdict, took = await bench.verdict(Stage.RECIPIENT)
        assert isinstance(verdict, Accepted)
        assert took == 2
        assert len(calls) == 1
        fields = bench.gathering.recorded(Event.MESSAGE, {"outcome": "rejected", "by": "spf", "recipients": []})
        evidence: Any = fields["evidence"]
        assert evidence["facts"]["sender_domain"] == {"known": {"exists": True}}


async def test_a_new_sender_makes_the_facts_of_the_last_one_stale(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        calls: list[str] = []
        checks = (_needs(SPF), _needs(REVERSE_NAME, stage=Stage.CONNECT))
        names: list[str] = []
        bench = Bench(
            nursery,
            checks,
            _lookup(SPF, FAILS, seconds=50, calls=calls),
            _lookup(REVERSE_NAME, Known(ReverseName(("x.example",))), seconds=2, calls=names),
        )
        bench.begin()
        await trio.sleep(5)
        assert len(nursery.child_tasks) == 1
        bench.dialogue.envelope = Envelope(Path("b", "other.example"))
        bench.gathering.judge(Stage.MAIL)
        await trio.sleep(1)
        assert len(nursery.child_tasks) == 1
        assert calls == ["192.0.2.10 a@sender.example", "192.0.2.10 b@other.example"]
        assert len(names) == 1
        nursery.cancel_scope.cancel()


async def test_the_end_of_a_session_calls_everything_off(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, (_needs(SPF),), _lookup(SPF, FAILS, seconds=50))
        bench.begin()
        assert bench.gathering.judge(Stage.RECIPIENT) is None
        bench.gathering.wait(Stage.RECIPIENT, bench.waiting, trio.current_time() + 100)
        await trio.sleep(1)
        bench.gathering.close()
        await trio.sleep(1)
        assert not nursery.child_tasks
        assert bench.waiting.mailbox == []


async def test_a_fact_without_a_source_is_unknown() -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, (_needs(SPF, on_error=OnError.DEFER),))
        bench.begin()
        verdict = bench.gathering.judge(Stage.RECIPIENT)
        assert isinstance(verdict, Refused)
        assert verdict.notes[0]["unknown"] == "not_configured"


async def test_the_message_is_read_once_for_all_and_given_up_with_the_verdict(autojump_clock: MockClock) -> None:
    reads: list[int] = []

    async def read() -> bytes:
        reads.append(1)
        await trio.sleep(1)
        return b"From: a@b\r\n\r\nx\r\n"

    def find(seconds: float) -> Callable[[Inquiry], Coroutine[Any, Any, Fact[Any]]]:
        async def found(inquiry: Inquiry) -> Fact[Any]:
            octets = await inquiry.message()
            await trio.sleep(seconds)
            return Known(Signatures(more=len(octets)))

        return found

    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, (_needs(DKIM, stage=Stage.MESSAGE),), Lookup(DKIM, find(1)))
        bench.begin()
        accepted = bench.gathering.judge(Stage.DATA)
        assert isinstance(accepted, Accepted)
        assert accepted.whole
        assert bench.gathering.judge(Stage.MESSAGE) is None
        bench.gathering.message = read
        verdict, took = await bench.verdict(Stage.MESSAGE)
        assert isinstance(verdict, Accepted)
        assert (took, len(reads)) == (2, 1)
        assert bench.gathering.message is None


async def test_authentication_results_go_in_front_as_late_as_they_can() -> None:
    def results(evidence: Evidence) -> bytes:
        return f"Authentication-Results: mx; {sorted(evidence.facts)}\r\n".encode()

    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, (_needs(SPF),), _lookup(SPF, PASSES), results=results)
        bench.begin()
        assert bench.gathering.judge(Stage.RECIPIENT) == Accepted(Stage.RECIPIENT)
        at_data = bench.gathering.judge(Stage.DATA)
        assert isinstance(at_data, Accepted)
        assert at_data.header == b"Authentication-Results: mx; ['spf']\r\n"


async def test_a_good_history_is_learned_and_the_governor_told(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        governor = Governor(GovernorSettings(good=1))
        known = Acquaintances(FakeRemembering())
        bench = Bench(nursery, (_needs(SPF),), _lookup(SPF, PASSES), governor=governor, acquaintances=known)
        for _ in range(3):
            assert not known.good("192.0.2.10", ())
            bench.begin()
            assert bench.gathering.judge(Stage.RECIPIENT) == Accepted(Stage.RECIPIENT)
            bench.gathering.recorded(Event.MESSAGE, {"outcome": "delivered", "by": "backend", "recipients": []})
        assert known.good("192.0.2.10", ())
        again = Bench(nursery, (_needs(SPF),), _lookup(SPF, FAILS), governor=governor, acquaintances=known)
        again.begin()
        first = again.gathering.judge(Stage.RECIPIENT)
        second = again.gathering.judge(Stage.RECIPIENT)
        assert isinstance(first, Refused)
        assert isinstance(second, Refused)
        assert (first.reply.code, second.reply.code) == (550, 450)
        (line,) = again.journal.of(Event.CHECK_DEMOTED)
        assert (line["check"], line["good"]) == ("c_spf", 1)


async def test_who_was_asked_to_come_again_is_learned() -> None:
    async with trio.open_nursery() as nursery:
        kept = FakeTexts()
        memory = GreylistMemory(kept, Windows())
        found = Greylisted(memory, kept, lambda *_: False)
        policy = Policy((replace(_needs(SPF), action=Action.SCORE),), greylisting=Greylisting(1.0))
        bench = Bench(nursery, policy, _lookup(SPF, FAILS), found.lookup, greylist=memory)
        bench.begin()
        first = bench.gathering.judge(Stage.RECIPIENT)
        assert isinstance(first, Refused)
        assert first.by == "greylist"
        assert [purpose for purpose, _ in kept.kept] == ["grey-first"]


async def test_how_mails_and_sessions_end_is_learned_and_a_penalty_said(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        kept = FakeRemembering()
        known = Reputations(kept, ReputationSettings(threshold=3.0, penalty=60.0))
        early = replace(_needs(REPUTATION, stage=Stage.CONNECT), early=True)
        bench = Bench(nursery, (early,), *lookups(known), reputations=known)
        bench.begin()
        bench.gathering.recorded(Event.MESSAGE, {"outcome": "rejected", "by": "spf", "recipients": []})
        bench.dialogue.early = (Stage.CONNECT,)
        bench.gathering.recorded(Event.SESSION, {})
        assert bench.journal.of(Event.PENALTY) == []
        assert known.of_client("192.0.2.10", 1e9).badness == 2
        refused = CheckSpec("listed", frozenset({Stage.CONNECT}), dict, lambda *_: Finding(Reason.LISTED), needs=())
        again = Bench(nursery, (early, Check(refused, None, early=True)), *lookups(known), reputations=known)
        assert isinstance(again.gathering.judge(Stage.CONNECT), Refused)
        again.gathering.recorded(Event.SESSION, {})
        assert again.journal.of(Event.PENALTY) == [
            {"client": "192.0.2.10", "reason": "2 refused, 1 early", "seconds": 60.0, "session": "s"}
        ]
        assert known.of_client("192.0.2.10", 1e9).penalty == "2 refused, 1 early"


@pytest.mark.parametrize("balancer", ["", "10.0.0.1"])
async def test_a_penalty_is_told_and_noted_as_one_behind_a_balancer(balancer: str, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        kept, told = FakeRemembering(), list[str]()
        known = Reputations(kept, ReputationSettings(threshold=2.0, penalty=60.0))
        more = {"reputations": known, "penalised": lambda: told.append("penalised")}
        bench = Bench(nursery, (_needs(REPUTATION, stage=Stage.CONNECT),), *lookups(known), **more)
        bench.dialogue.proxy = balancer
        bench.begin()
        for happens in ([], ["penalised"]):
            bench.gathering.recorded(Event.MESSAGE, {"outcome": "rejected", "by": "spf", "recipients": []})
            assert told == happens
        assert kept.marked(PENALTY, "192.0.2.10")
        assert kept.marked(BALANCED, "192.0.2.10") is bool(balancer)


async def test_whom_a_person_has_allowed_is_good() -> None:
    async with trio.open_nursery() as nursery:
        kept = FakeRemembering()
        known = Reputations(kept)
        check = _needs(REPUTATION, stage=Stage.CONNECT)
        for good in (False, True):
            bench = Bench(nursery, (check,), *lookups(known), reputations=known)
            bench.begin()
            assert bench.gathering.good is good
            kept.put("entry", "192.0.2.0/24", "allow anna", 60)


@pytest.mark.parametrize(
    ("entries", "action", "found"),
    [
        ({}, Action.REJECT, False),
        ({"192.0.2.0/24": "block anna"}, Action.REJECT, True),
        ({"192.0.2.0/24": "block anna"}, Action.DEFER, True),
        ({"192.0.2.0/24": "block anna"}, Action.OBSERVE, False),
        ({"192.0.2.0/24": "block anna", "192.0.2.10": "allow bob"}, Action.REJECT, False),
    ],
)
async def test_whom_a_person_has_blocked_is_known_at_accept(
    entries: Mapping[str, str], action: Action, found: bool
) -> None:
    async with trio.open_nursery() as nursery:
        kept = FakeRemembering()
        for name, text in entries.items():
            kept.put("entry", name, text, 60)
        check = Check(blocked.CHECK, blocked.BlockedOptions(), action, early=True)
        allows = (Exemption(Match(allowed=True)),)
        bench = Bench(nursery, Policy((check,), exemptions=allows), *lookups(Reputations(kept)))
        note = bench.gathering.blocked_at_accept()
        assert (note is not None) is found
        fields = bench.gathering.recorded(Event.SESSION, {})
        assert ("evidence" in fields) is found
        if note is not None:
            assert (note["check"], note["blocked"], note["set_by"]) == ("blocked", "192.0.2.0/24", "anna")


async def test_no_fact_is_waited_for_before_there_can_be_one() -> None:
    """It was taken for unknown at CONNECT, and was that for the whole of the first transaction."""
    async with trio.open_nursery() as nursery:
        spec = CheckSpec("both", frozenset({Stage.CONNECT, Stage.MAIL}), dict, _spf, needs=(REVERSE_NAME, SPF))
        check = Check(spec, None, Action.REJECT, OnError.PASS, early=True)
        names = Known(ReverseName(("x.example",)))
        bench = Bench(nursery, (check,), _lookup(SPF, FAILS), _lookup(REVERSE_NAME, names))
        assert isinstance(bench.gathering.judge(Stage.CONNECT), Accepted)
        bench.dialogue.envelope = Envelope(Path("a", "sender.example"))
        assert isinstance(bench.gathering.judge(Stage.MAIL), Refused)


async def test_whoever_wants_to_hears_of_every_message() -> None:
    async with trio.open_nursery() as nursery:
        heard: list[Mapping[str, object]] = []
        bench = Bench(nursery, (_needs(SPF),), heard=heard.append)
        message = {"outcome": "rejected"}
        bench.gathering.recorded(Event.MESSAGE, message)
        bench.gathering.recorded(Event.SESSION, {"x": 1})
        assert heard == [message]


async def test_a_bug_in_what_is_learned_costs_no_line() -> None:
    def forgetful(_message: Mapping[str, object]) -> None:
        raise ZeroDivisionError

    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, (_needs(SPF),), heard=forgetful)
        message = {"outcome": "rejected"}
        assert bench.gathering.recorded(Event.MESSAGE, message) == message
        assert [line["where"] for line in bench.journal.of(Event.CRASH)] == ["record"]


def test_without_sources_every_verdict_is_there_and_every_fact_unknown() -> None:
    dialogue = Dialogue("s", "192.0.2.10")
    made = Gathering(Policy((_needs(SPF),)), dialogue, Phrasebook("mx", "s"), RelaySettings("mx"), None)
    verdict = made.judge(Stage.RECIPIENT)
    assert isinstance(verdict, Accepted)
    assert verdict.notes[0]["unknown"] == "not_asked"
    assert made.recorded(Event.SESSION, {"x": 1}) == {"x": 1}


async def test_a_verdict_that_raises_beside_its_session_ends_no_other(autojump_clock: MockClock) -> None:
    def results(_evidence: Evidence) -> bytes:
        raise ZeroDivisionError

    async with trio.open_nursery() as worker:
        lookup = _lookup(DKIM, Known(Signatures()), seconds=2)
        bench = Bench(worker, (_needs(DKIM, stage=Stage.MESSAGE),), lookup, results=results)
        bench.begin()
        bench.gathering.judge(Stage.DATA)
        assert bench.gathering.judge(Stage.MESSAGE) is None
        bench.gathering.wait(Stage.MESSAGE, bench.waiting, trio.current_time() + 100)
        await trio.sleep(5)
        assert bench.waiting.mailbox == [Crashed()]
        assert [line["where"] for line in bench.journal.of(Event.CRASH)] == ["verdict message"]
        worker.cancel_scope.cancel()


async def test_a_message_on_disk_is_read_once_for_all(autojump_clock: MockClock) -> None:
    reads: list[int] = []

    async def read() -> bytes:
        reads.append(1)
        await trio.sleep(1)
        return b"x"

    async def look(inquiry: Inquiry) -> Fact[Any]:
        await inquiry.message()
        return Unknown("x")

    keys = (DKIM, ARC, HEADER)
    async with trio.open_nursery() as nursery:
        checks = tuple(_needs(key, stage=Stage.MESSAGE) for key in keys)
        bench = Bench(nursery, checks, *(Lookup(key, look) for key in keys))
        bench.begin()
        bench.gathering.judge(Stage.DATA)
        assert bench.gathering.judge(Stage.MESSAGE) is None
        bench.gathering.message = read
        await bench.verdict(Stage.MESSAGE)
        assert len(reads) == 1


async def test_what_was_read_too_late_is_not_the_next_message(autojump_clock: MockClock) -> None:
    seen: list[bytes] = []

    async def slow() -> bytes:
        with trio.CancelScope(shield=True):  # as a thread is: it is not cancelled
            await trio.sleep(100)
        return b"first"

    async def second() -> bytes:
        return b"second"

    async def look(inquiry: Inquiry) -> Fact[Signatures]:
        seen.append(await inquiry.message())
        return Known(Signatures())

    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, (_needs(DKIM, stage=Stage.MESSAGE),), Lookup(DKIM, look))
        bench.begin()
        for reader in (slow, second):
            bench.gathering.judge(Stage.MAIL)
            bench.gathering.judge(Stage.RECIPIENT)
            bench.gathering.judge(Stage.DATA)
            await trio.sleep(60)
            assert bench.gathering.judge(Stage.MESSAGE) is None
            bench.gathering.message = reader
            await bench.verdict(Stage.MESSAGE)
        assert seen == [b"second"]


async def test_messages_that_are_looked_at_share_a_bound(autojump_clock: MockClock) -> None:
    """Twenty messages of 30 MiB at once, each allowed, were the end of the worker and of all its sessions."""
    read: list[str] = []

    async def look(inquiry: Inquiry) -> Fact[Signatures]:
        await inquiry.message()
        await trio.sleep(5)
        return Known(Signatures())

    async def begin(bench: Bench, name: str) -> None:
        async def message() -> bytes:
            bench.gathering.make_room(60)
            read.append(name)
            return b"x"

        bench.begin()
        bench.gathering.judge(Stage.DATA)
        assert bench.gathering.judge(Stage.MESSAGE) is None
        bench.gathering.message = message
        bench.gathering.wait(Stage.MESSAGE, bench.waiting, trio.current_time() + 100)
        await trio.sleep(1)

    def known(bench: Bench) -> Fact[Any]:
        assert [type(event) for event in bench.waiting.mailbox] == [Judged]
        return bench.gathering._facts[DKIM.name]

    async with trio.open_nursery() as worker:
        room = Memory(100)
        one, other, third, last = (
            Bench(worker, (_needs(DKIM, stage=Stage.MESSAGE),), Lookup(DKIM, look), memory=room) for _ in range(4)
        )
        await begin(one, "one")
        await begin(other, "other")
        assert known(other) == Unknown("no memory")
        assert room.left == 40
        await trio.sleep(10)
        assert known(one) == Known(Signatures())
        assert room.left == 100
        await begin(third, "third")
        third.gathering.close()
        assert room.left == 100
        await begin(last, "last")
        assert read == ["one", "third", "last"]
        worker.cancel_scope.cancel()


async def test_each_lookup_has_a_budget_of_its_own(autojump_clock: MockClock) -> None:
    """A sender whose own SPF record asked for all the session had left the next one unasked: unknown, and passed."""
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, (_needs(SPF), _needs(SENDER_DOMAIN)), _lookup(SPF, PASSES, seconds=2))
        made: list[_Dns] = []

        def resolver() -> Resolver:
            made.append(_Dns(at_hand=False))
            return made[-1]

        bench.gathering._sources = replace(bench.sources, resolver=resolver)
        for _ in range(2):
            bench.begin()
            assert bench.gathering.judge(Stage.RECIPIENT) is None
            await bench.verdict(Stage.RECIPIENT)
        assert [one.asked for one in made] == [1, 1]


async def test_who_is_good_is_not_only_patient() -> None:
    kept = FakeRemembering()
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, (), acquaintances=Acquaintances(kept))
        bench.sources.acquaintances.waited("192.0.2.10")
        assert (bench.gathering.acquainted, bench.gathering.good) == (False, False), "no banner is held back"
        bench.gathering._settings = replace(bench.gathering._settings, banner_delay=1.0)
        assert (bench.gathering.acquainted, bench.gathering.good) == (True, False)
        for _ in range(3):
            bench.sources.acquaintances.delivered("192.0.2.10", ())
        assert not bench.gathering.good, "the store is asked once in a session"
        assert Bench(nursery, (), acquaintances=Acquaintances(kept)).gathering.good
        assert kept.fetched == []
        bench.gathering.turned_away()
        assert ("delivered", "192.0.2.0/24") in kept.fetched


async def test_what_is_found_at_data_alone_makes_the_body_suspect_though_its_verdict_is_dressed() -> None:
    async with trio.open_nursery() as nursery:
        check = replace(_needs(SPF, stage=Stage.DATA), action=Action.TARPIT)
        for fact, suspect in ((FAILS, True), (PASSES, False)):
            bench = Bench(nursery, (check,), _lookup(SPF, fact))
            bench.begin()
            assert bench.gathering.judge(Stage.RECIPIENT) == Accepted(Stage.RECIPIENT)
            verdict = bench.gathering.judge(Stage.DATA)
            assert isinstance(verdict, Accepted)
            assert verdict.suspect is suspect
            assert bool(verdict.delay) is suspect


async def test_what_a_session_has_used_is_charged_before_the_next_look(autojump_clock: MockClock) -> None:
    limit = RateLimit("some", Per.CLIENT, Of.UNKNOWN_RECIPIENTS, 1, 3600.0, 1)
    charged: list[tuple[Of, float]] = []
    check = Check(rate_limit_check(limit), limit, Action.DEFER)
    async with trio.open_nursery() as nursery:
        free = _lookup(LIMITS_RECIPIENT, Known(Exceeded()))
        bench = Bench(nursery, (check,), free, charge=lambda of, _, cost: charged.append((of, cost)))
        bench.begin()
        envelope, gathering = bench.dialogue.envelope, bench.gathering
        assert envelope is not None
        assert gathering.judge(Stage.RECIPIENT) == Accepted(Stage.RECIPIENT)
        envelope.recipients[0].reply = Reply(550, (b"5.1.1 No such mailbox",))
        bench.dialogue.recipient = Recipient(Path("v", "example.org"))
        envelope.recipients.append(bench.dialogue.recipient)
        assert charged == []
        gathering.judge(Stage.RECIPIENT)
        assert charged == [(Of.REFUSALS, 1), (Of.UNKNOWN_RECIPIENTS, 1)]
        envelope.recipients[1].reply = Reply(550, (b"5.1.1 No such mailbox",))
        gathering.recorded(Event.MESSAGE, {"outcome": "rejected"})
        assert len(charged) == 4
        bench.dialogue.errors = 2
        gathering.recorded(Event.SESSION, {})
        assert charged[4:] == [(Of.ERRORS, 2)]


async def test_a_session_that_is_held_to_no_limit_is_charged_for_nothing(autojump_clock: MockClock) -> None:
    charged: list[object] = []
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, (_needs(SPF),), _lookup(SPF, PASSES), charge=lambda *one: charged.append(one))
        bench.begin()
        bench.gathering.recorded(Event.MESSAGE, {"outcome": "delivered", "size": 100})
    assert charged == []
