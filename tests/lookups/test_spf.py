"""SPF: the suite of RFC 7208, what is kept for how long, and records that want to be a burden."""

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path as File
from typing import Any

import pytest
import trio
import trio.testing

from smtproxy.lookups.spf import (
    KEPT_FOR,
    LONGEST_EXPLANATION,
    LONGEST_RECORD,
    MOST_QUESTIONS,
    MOST_RECORDS,
    Evaluation,
    Results,
    evaluate,
    hosting,
    lookups,
)
from smtproxy.network.dns.answers import Answer, Resolver, Status
from smtproxy.network.inquiry import NotAtHand
from smtproxy.policy.evidence import Known, Unknown
from smtproxy.policy.facts import SPF, SPF_HELLO, Spf
from smtproxy.wire.commands import parse_mail
from smtproxy.wire.paths import NULL_PATH, Path
from tests.lookups.zones import DeadServer, Records, Session, Zone

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # It is of 2020: its escape sequences are deprecated since.
    import spf as pyspf

SUITE: list[dict[str, Any]] = json.loads(File(__file__).with_name("rfc7208-tests.json").read_text("ascii"))
"""The test suite of RFC 7208 as pyspf ships it, made JSON; its notice is in rfc7208-tests.LICENSE."""

CASES = [
    pytest.param(scenario["zonedata"], case, id=name) for scenario in SUITE for name, case in scenario["tests"].items()
]


def zone(data: Mapping[str, Sequence[Any]]) -> Zone:
    """Make a name server from a zone of the suite."""
    records: dict[tuple[str, str], list[str] | Status] = {}
    for name, entries in data.items():
        found = {kind for entry in entries if isinstance(entry, dict) for kind in entry}
        for entry in entries:
            if entry == "TIMEOUT":
                records[name, "*"] = Status.TIMEOUT  # for the types that have nothing else
                continue
            for kind, value in entry.items():
                if value == "TIMEOUT":
                    records[name, kind] = Status.TIMEOUT
                    continue
                if value == "NONE":
                    continue
                # RFC 7208 3.1: the type SPF is gone; the suite means a TXT by it where it has none.
                kinds = {kind} if kind != "SPF" else {"SPF", "TXT"} - found
                for one in kinds:
                    there = records.setdefault((name, one), [])
                    assert isinstance(there, list)
                    there.append(_text(one, value))
    return Zone(records, otherwise=Status.NO_NAME)


def _text(kind: str, value: object) -> str:
    match value:
        case [preference, str(host)] if kind == "MX":
            return f"{preference} {host.lower().rstrip('.') or '.'}"
        case [*strings]:
            return "".join(map(str, strings)).encode().decode("latin-1")
        case _:
            text = str(value)
            return text.encode().decode("latin-1") if kind in ("TXT", "SPF") else text.lower().rstrip(".")


async def with_pyspf(dns: Resolver, client: str, sender: str, hello: str) -> Evaluation:
    """Evaluate by pyspf, behind the same interface: the second opinion. It works in a thread."""

    def ask(name: str, kind: str, *_: object, **__: object) -> list[tuple[tuple[str, str], object]]:
        answer = trio.from_thread.run(dns.ask, name, kind)
        if answer.status is Status.INVALID:
            raise pyspf.TempError("DNS label too long")
        if not answer.status.known:
            raise pyspf.TempError("DNS " + answer.status.value)
        match kind:
            case "MX":
                split = [record.partition(" ") for record in answer.records]
                return [((name, kind), (int(preference), host)) for preference, _, host in split]
            case "TXT":
                return [((name, kind), (record.encode("latin-1"),)) for record in answer.records]
            case "AAAA":
                return [((name, kind), pyspf.ipaddress.ip_address(record).packed) for record in answer.records]
            case _:
                return [((name, kind), record) for record in answer.records]

    def check() -> Evaluation:
        query = pyspf.query(i=client, s=sender, h=hello, strict=True)
        query.set_default_explanation("DEFAULT")
        result, _, explanation = query.check()
        return Evaluation(Spf(result, sender.rpartition("@")[2].lower(), explanation if result == "fail" else ""))

    pyspf.DNSLookup = ask
    return await trio.to_thread.run_sync(check)


def expected(case: Mapping[str, Any]) -> list[str]:
    results = case["result"]
    return results if isinstance(results, list) else [results]


def test_the_suite_is_whole() -> None:
    assert len(CASES) == 203


@pytest.mark.parametrize(("data", "case"), CASES)
async def test_suite_of_rfc_7208(data: Mapping[str, Sequence[Any]], case: Mapping[str, Any]) -> None:
    sender = case["mailfrom"] or f"postmaster@{case['helo']}"
    async with hosting():
        evaluation = await evaluate(zone(data), case["host"], sender, case["helo"])
    assert evaluation.spf.result in expected(case)
    if "explanation" in case:
        # Digits of IPv6 addresses in capitals or not: RFC 7208 7.3 leaves it open.
        assert evaluation.spf.explanation.casefold() == case["explanation"].replace("DEFAULT", "").casefold()


@pytest.mark.parametrize(("data", "case"), CASES)
async def test_second_opinion(data: Mapping[str, Sequence[Any]], case: Mapping[str, Any]) -> None:
    """Two evaluators that share no code agree, so the suite and our name server mean what we think they mean."""
    sender = case["mailfrom"] or f"postmaster@{case['helo']}"
    evaluation = await with_pyspf(zone(data), case["host"], sender, case["helo"])
    assert evaluation.spf.result in expected(case)


def mailbox(text: str) -> Path:
    return parse_mail(f"FROM:<{text}>".encode()).path


PLAIN = {("example.com", "TXT"): ["v=spf1 ip4:192.0.2.0/24 -all"]}


class TestLookups:
    """Which identity is asked for, and what the quick way knows."""

    async def test_sender_and_hello(self) -> None:
        of_sender, of_hello = lookups(Results(), trio.current_time)
        dns = Zone({**PLAIN, ("mail.example.net", "TXT"): ["v=spf1 ~all"]})
        session = Session(dns, sender=mailbox("joe@Example.COM"))
        async with hosting():
            assert (of_sender.key, await of_sender.find(session)) == (SPF, Known(Spf("pass", "example.com")))
            assert (of_hello.key, await of_hello.find(session)) == (
                SPF_HELLO,
                Known(Spf("softfail", "mail.example.net")),
            )

    async def test_null_path_is_the_hello_name(self) -> None:
        of_sender, _ = lookups(Results(), trio.current_time)
        session = Session(Zone(PLAIN), sender=NULL_PATH, hello="Example.com.", client="198.51.100.1")
        async with hosting():
            assert await of_sender.find(session) == Known(Spf("fail", "example.com"))

    @pytest.mark.parametrize("hello", ["[192.0.2.10]", "[IPv6:2001:db8::1.2.3.4]", "localhost", "", "b\xfc", "x" * 700])
    async def test_what_is_no_full_name_has_no_record(self, hello: str) -> None:
        _, of_hello = lookups(Results(), trio.current_time)
        dns = Zone(PLAIN)
        found = await of_hello.find(Session(dns, hello=hello, quick=True))
        assert isinstance(found, Known)
        assert found.value.result == "none"
        assert dns.asked == []

    async def test_names_that_are_not_ascii(self) -> None:
        of_sender, _ = lookups(Results(), trio.current_time)
        dns = Zone({("xn--bcher-kva.example", "TXT"): ["v=spf1 exists:%{l}.example -all"]})
        async with hosting():
            found = await of_sender.find(Session(dns, sender=mailbox("j\u00f6@b\u00fccher.example")))
        assert found == Known(Spf("fail", "xn--bcher-kva.example"))

    async def test_without_address_or_sender_nothing_is_known(self) -> None:
        of_sender, of_hello = lookups(Results(), trio.current_time)
        assert isinstance(await of_sender.find(Session(Zone(PLAIN), sender=None)), Unknown)
        assert isinstance(await of_hello.find(Session(Zone(PLAIN), client="")), Unknown)

    async def test_quick_way_knows_what_was_found(self) -> None:
        """One result serves all senders of a domain, if its record does not ask who they are."""
        of_sender, _ = lookups(Results(), trio.current_time)
        joe, ann = (Session(Zone(PLAIN), sender=mailbox(f"{name}@example.com")) for name in ("joe", "ann"))
        joe.quick = ann.quick = True
        with pytest.raises(NotAtHand):
            await of_sender.find(joe)
        joe.quick = False
        async with hosting():
            await of_sender.find(joe)
        assert await of_sender.find(ann) == Known(Spf("pass", "example.com"))
        ann.client = "192.0.2.11"
        with pytest.raises(NotAtHand):
            await of_sender.find(ann)

    @pytest.mark.parametrize("macro", ["%{l}", "%{S}", "%{h}"])
    async def test_a_record_that_asks_who_it_is(self, macro: str) -> None:
        of_sender, _ = lookups(Results(), trio.current_time)
        dns = Zone({("example.com", "TXT"): [f"v=spf1 exists:{macro}.ok.example -all"]})
        joe = Session(dns, sender=mailbox("joe@example.com"))
        async with hosting():
            await of_sender.find(joe)
        joe.quick = True
        assert await of_sender.find(joe) == Known(Spf("fail", "example.com"))
        joe.sender, joe.hello = mailbox("ann@example.com"), "other.example.net"
        with pytest.raises(NotAtHand):
            await of_sender.find(joe)


class TestResults:
    """What is kept, and for how long."""

    @pytest.mark.parametrize(("ttl", "kept"), [(10.0, 10.0), (0.0, 0.0), (1e6, KEPT_FOR)])
    def test_least_ttl(self, ttl: float, kept: float) -> None:
        results = Results()
        results.keep("192.0.2.1", "a@b.example", "h", Evaluation(Spf("pass"), ttl), 100.0)
        assert (results.get("192.0.2.1", "a@b.example", "h", 100.0 + kept - 0.1) is not None) is (kept > 0)
        assert results.get("192.0.2.1", "a@b.example", "h", 100.0 + kept) is None

    def test_failures_of_the_dns_are_not_kept(self) -> None:
        results = Results()
        results.keep("192.0.2.1", "a@b.example", "h", Evaluation(Spf("temperror"), 300.0), 0.0)
        assert len(results) == 0

    def test_the_least_recently_used_goes_first(self) -> None:
        results = Results(2)
        for name in ("a", "b"):
            results.keep("192.0.2.1", f"x@{name}", "h", Evaluation(Spf("pass")), 0.0)
        assert results.get("192.0.2.1", "x@a", "h", 1.0)
        results.keep("192.0.2.1", "x@c", "h", Evaluation(Spf("pass")), 0.0)
        assert [results.get("192.0.2.1", f"x@{name}", "h", 1.0) is None for name in "abc"] == [False, True, False]

    async def test_the_least_ttl_is_that_of_all_answers(self) -> None:
        class Short(Zone):
            async def ask(self, name: str, kind: str) -> Answer:
                return replace(await super().ask(name, kind), ttl=7.0 if kind == "A" else 300.0)

        async with hosting():
            dns = Short({("a.example", "TXT"): ["v=spf1 a -all"], ("a.example", "A"): ["192.0.2.1"]})
            assert (await evaluate(dns, "192.0.2.1", "x@a.example", "h")).ttl == 7.0


def bomb(records: int) -> dict[tuple[str, str], list[str]]:
    """A record that includes another one, which includes ... each with so many addresses behind its name."""
    many = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(records)]
    made: dict[tuple[str, str], list[str]] = {}
    for level in range(10_000):
        made[f"b{level}.example", "TXT"] = [f"v=spf1 a include:b{level + 1}.example -all"]
        made[f"b{level}.example", "A"] = many
    return made


class TestBurdens:
    """Records that want to be a burden. RFC 7208 4.6.4, 11.1"""

    async def check(
        self, records: Records, sender: str = "x@b0.example", client: str = "192.0.2.1"
    ) -> tuple[Spf, Zone]:
        dns = Zone(records)
        async with hosting():
            return (await evaluate(dns, client, sender, "h.example")).spf, dns

    async def test_ten_thousand_records(self) -> None:
        spf, dns = await self.check(bomb(4))
        assert spf == Spf("permerror", "b0.example")
        assert len(dns.asked) <= 11

    async def test_ten_thousand_addresses(self) -> None:
        spf, dns = await self.check(bomb(10_000))
        assert (spf.result, len(dns.asked)) == ("permerror", 2)

    async def test_as_many_addresses_as_may_be(self) -> None:
        spf, _ = await self.check(
            {("b0.example", "TXT"): ["v=spf1 a -all"], ("b0.example", "A"): ["192.0.2.1"] * MOST_RECORDS}
        )
        assert spf.result == "pass"

    async def test_ten_thousand_policies(self) -> None:
        assert (await self.check({("b0.example", "TXT"): ["v=spf1 -all"] * 10_000}))[0].result == "permerror"

    async def test_other_text_may_be_long(self) -> None:
        spf, _ = await self.check({("b0.example", "TXT"): ["x" * 60_000, "v=spf1 -all"]})
        assert spf.result == "fail"

    @pytest.mark.parametrize(("length", "result"), [(LONGEST_RECORD, "pass"), (LONGEST_RECORD + 1, "permerror")])
    async def test_long_record(self, length: int, result: str) -> None:
        record = "v=spf1".ljust(length - 5) + " +all"
        assert (await self.check({("b0.example", "TXT"): [record]}))[0].result == result

    async def test_void_lookups(self) -> None:
        record = "v=spf1 a:v1.example a:v2.example a:v3.example +all"
        assert (await self.check({("b0.example", "TXT"): [record]}))[0].result == "permerror"

    async def test_ten_terms_of_eleven_names_are_allowed(self) -> None:
        records: dict[tuple[str, str], list[str]] = {
            ("b0.example", "TXT"): ["v=spf1 " + " ".join(f"mx:m{n}.example" for n in range(10)) + " +all"]
        }
        for n in range(10):
            records[f"m{n}.example", "MX"] = [f"{k} m{n}-{k}.example" for k in range(10)]
            records.update({(f"m{n}-{k}.example", "A"): ["192.0.2.9"] for k in range(10)})
        spf, dns = await self.check(records)
        assert spf.result == "pass"
        assert len(dns.asked) == 111 < MOST_QUESTIONS

    @pytest.mark.parametrize(
        "record",
        [
            *("v=spf1 exists:%{d" + "9" * 5000 + "}.example -all", "v=spf1 a:" + "%{i}." * 50 + "example -all"),
            *(
                "v=spf1 " + "/" * 4000,
                "v=spf1 ip4:" + "1" * 5000,
                "v=spf1 a/" + "9" * 5000,
                "v=spf1 exists:%{",
                "v=spf1 \xe4",
            ),
            "v=spf1 include:b0.example",
        ],
    )
    async def test_nonsense_is_the_owners_error(self, record: str) -> None:
        assert (await self.check({("b0.example", "TXT"): [record]}))[0].result in ("permerror", "fail")

    async def test_long_explanation(self) -> None:
        records = {("b0.example", "TXT"): ["v=spf1 -all exp=e.example"], ("e.example", "TXT"): ["%{s} " * 1000]}
        spf, _ = await self.check(records)
        assert len(spf.explanation) == LONGEST_EXPLANATION

    async def test_null_exchanger_is_nobody(self) -> None:
        records = {("b0.example", "TXT"): ["v=spf1 mx -all"], ("b0.example", "MX"): ["0 ."]}
        spf, dns = await self.check(records)
        assert (spf.result, len(dns.asked)) == ("fail", 2)

    async def test_a_long_record_takes_no_long_time(self) -> None:
        """CPU, not time: eleven records of 8 KiB with nothing but networks."""
        networks = " ".join(f"ip4:10.0.{n >> 8}.{n & 255}" for n in range(500))
        records = {(f"b{n}.example", "TXT"): [f"v=spf1 {networks} include:b{n + 1}.example -all"] for n in range(12)}
        begun = time.process_time()
        assert (await self.check(records))[0].result == "permerror"
        assert time.process_time() - begun < 2


class TestDeadServer:
    async def test_is_a_temporary_error(self, autojump_clock: trio.testing.MockClock) -> None:
        async with hosting():
            evaluation = await evaluate(DeadServer(), "192.0.2.1", "x@b0.example", "h.example")
        assert evaluation.spf.result == "temperror"
        assert trio.current_time() >= 2

    async def test_whoever_waits_can_be_cancelled(self, autojump_clock: trio.testing.MockClock) -> None:
        async with hosting():
            with trio.move_on_after(1) as scope:
                await evaluate(DeadServer(), "192.0.2.1", "x@b0.example", "h.example")
            assert scope.cancelled_caught
            assert trio.current_time() == pytest.approx(1)

    async def test_a_resolver_that_raises_is_not_hidden(self) -> None:
        class Broken(Zone):
            async def ask(self, name: str, kind: str) -> Answer:
                raise LookupError(name)

        async with hosting():
            with pytest.raises(LookupError):
                await evaluate(Broken({}), "192.0.2.1", "x@b0.example", "h.example")

    async def test_many_at_once(self) -> None:
        done: list[str] = []

        async def one(number: int) -> None:
            spf = await evaluate(Zone(PLAIN), f"192.0.2.{number}", "x@example.com", "h.example")
            done.append(spf.spf.result)

        async with hosting(), trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(one, number)
        assert done == ["pass"] * 100
