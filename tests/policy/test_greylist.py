"""Greylisting: once for an organisation, never for those who are known, and never in front of a duty."""

from dataclasses import replace
from typing import Any

import pytest

from smtproxy.policy.evidence import Evidence, Fact, Known, Unknown
from smtproxy.policy.exemptions import Exemption, Match
from smtproxy.policy.facts import GREYLIST, Greylist, Spf
from smtproxy.policy.findings import Action, CheckSpec, Finding
from smtproxy.policy.greylist import (
    GOOD_RECORD,
    LATE,
    PASSED,
    RETRIES_BADLY,
    Greylisting,
    GreylistMemory,
    Windows,
    attempt_name,
    sender_key,
)
from smtproxy.policy.judge import Check, Policy, Thresholds
from smtproxy.policy.patterns import Patterns
from smtproxy.policy.replies import Reason
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.wire.paths import Path
from tests.fakes.texts import FakeTexts
from tests.policy.facts import PHRASES

DAY = 86400.0
WINDOWS = Windows()


def sign(name: str, action: Action = Action.SCORE, stage: Stage = Stage.MAIL, *, duty: bool = False) -> Check:
    def run(_options: object, _evidence: Evidence) -> Finding:
        return Finding(Reason.HELLO_FORGED, action=Action.REJECT if duty else None)

    return Check(CheckSpec(name, frozenset({stage}), dict, run, duty=duty), None, action)


def asked(fact: Fact[Greylist] | Greylist | None = None, *, sender: str = "a", to: str = "example.org") -> Evidence:
    recipient = Recipient(Path("b", to))
    dialogue = Dialogue(
        "s", "192.0.2.7", envelope=Envelope(Path(sender, "example.net"), recipients=[recipient]), recipient=recipient
    )
    facts: dict[str, Fact[Any]] = {}
    if fact is not None:
        facts[GREYLIST.name] = Known(fact) if isinstance(fact, Greylist) else fact
    return Evidence(Stage.RECIPIENT, dialogue, facts)


def judged(evidence: Evidence, *checks: Check, greylisting: Greylisting | None = None, **more: Any) -> Verdict:  # noqa: ANN401
    return Policy(checks, greylisting=greylisting or Greylisting(2.0), **more).judge(evidence, PHRASES)


TWO = (sign("one"), sign("two"))
STRANGER = Greylist("example.net")


class TestTheKey:
    @staticmethod
    def _key(client: str = "198.51.100.7", spf: Spf | None = None, confirmed: str = "") -> str:
        return sender_key(client, spf, confirmed, lambda name: ".".join(name.split(".")[-2:]) if "." in name else None)

    def test_is_the_organisation_of_a_domain_that_spf_proves(self) -> None:
        assert self._key(spf=Spf("pass", "Bounce.Example.NET")) == "example.net"
        assert self._key(spf=Spf("pass", "localhost")) == "localhost"

    @pytest.mark.parametrize("result", ["none", "neutral", "softfail", "fail", "temperror"])
    def test_is_no_domain_that_spf_does_not_prove(self, result: str) -> None:
        assert self._key(spf=Spf(result, "example.net"), confirmed="mx.example.com") == "example.com"

    def test_is_one_for_a_pool_of_64_addresses(self) -> None:
        keys = {self._key(f"203.{n}.113.{n}", confirmed=f"out{n}.pool.example.com") for n in range(64)}
        assert keys == {"example.com"}

    def test_is_the_network_where_the_name_is_a_customers(self) -> None:
        assert self._key(confirmed="dsl-198-51-100-7.provider.example") == "198.51.100.0/24"

    def test_is_the_network_where_nothing_is_proven(self) -> None:
        assert self._key() == "198.51.100.0/24"
        assert self._key("2001:db8:1:2:3::4") == "2001:db8:1:2::/64"

    def test_is_nothing_where_the_balancer_did_not_say(self) -> None:
        assert self._key("unknown") == ""


def test_an_attempt_is_key_sender_and_domain_of_the_recipient() -> None:
    one = attempt_name("k", Path("a+1", "example.net"), Path("b", "Example.org"))
    assert one == "k a@example.net example.org"
    assert one == attempt_name("k", Path("a+2", "example.net"), Path("c", "example.org"))


class TestTheVerdict:
    def test_a_suspicious_stranger_is_asked_to_come_again(self) -> None:
        verdict = judged(asked(STRANGER), *TWO)
        assert isinstance(verdict, Refused)
        assert (verdict.reply.code, verdict.by, verdict.drop) == (450, "greylist", False)
        assert verdict.reply.lines[-1].startswith(b"4.7.1 Not known here yet; mail is taken when it comes again in 120")
        assert verdict.notes[-1] == {
            "check": "greylist",
            "stage": "recipient",
            "reason": "greylisted",
            "action": "defer",
            "sum": 2.0,
            "key": "example.net",
            "waited": None,
        }

    def test_the_text_says_how_long_it_is_still(self) -> None:
        verdict = judged(asked(Greylist("k", 45.0)), *TWO)
        assert isinstance(verdict, Refused)
        assert b"again in 75 seconds" in verdict.reply.lines[-1]

    def test_who_is_not_suspicious_enough_is_not(self) -> None:
        verdict = judged(asked(STRANGER), sign("one"))
        assert isinstance(verdict, Accepted)
        assert [note["check"] for note in verdict.notes] == ["one"]

    @pytest.mark.parametrize("why", [PASSED, GOOD_RECORD, RETRIES_BADLY])
    def test_who_is_known_is_not(self, why: str) -> None:
        verdict = judged(asked(Greylist("k", None, why)), *TWO)
        assert isinstance(verdict, Accepted)
        assert (verdict.notes[-1]["applied"], verdict.notes[-1]["because"]) == ("observe", why)

    def test_who_comes_again_is_taken(self) -> None:
        assert isinstance(judged(asked(Greylist("k", 120.0)), *TWO), Accepted)
        assert isinstance(judged(asked(Greylist("k", 119.9)), *TWO), Refused)

    @pytest.mark.parametrize("fact", [None, Unknown("timeout")])
    def test_where_nothing_is_known_nobody_is(self, fact: Unknown | None) -> None:
        verdict = judged(asked(fact), *TWO)
        assert isinstance(verdict, Accepted)
        assert verdict.notes[-1]["because"] == "unknown"

    def test_a_duty_is_never_hidden(self) -> None:
        verdict = judged(asked(STRANGER), *TWO, sign("duty", stage=Stage.RECIPIENT, duty=True))
        assert isinstance(verdict, Refused)
        assert (verdict.reply.code, verdict.by) == (550, "duty")
        assert all(note["check"] != "greylist" for note in verdict.notes)

    @pytest.mark.parametrize("threshold", [Thresholds(reject=2.0), Thresholds(defer=2.0)])
    def test_a_harder_threshold_wins(self, threshold: Thresholds) -> None:
        verdict = judged(asked(STRANGER), *TWO, thresholds=threshold)
        assert isinstance(verdict, Refused)
        assert verdict.by == "score"

    def test_a_milder_one_delays_besides(self) -> None:
        verdict = judged(asked(STRANGER), *TWO, thresholds=Thresholds(tarpit=1.0))
        assert isinstance(verdict, Refused)
        assert (verdict.by, verdict.delay) == ("greylist", 5.0)

    @pytest.mark.parametrize("checks", [None, frozenset({"greylist"})])
    def test_an_exemption_lifts_it(self, checks: frozenset[str] | None) -> None:
        exempt = Exemption(Match(recipients=Patterns(("b@example.org",))), checks)
        verdict = judged(asked(STRANGER), *TWO, exemptions=(exempt,))
        assert isinstance(verdict, Accepted)
        lifted = [note["because"] for note in verdict.notes if note["check"] == "greylist"]
        assert lifted == ([] if checks is None else ["exempt: recipient b@example.org"])

    def test_observed_it_adds_up_what_is_observed_and_refuses_nothing(self) -> None:
        checks = (sign("one", Action.OBSERVE), sign("two"))
        verdict = judged(asked(STRANGER), *checks, greylisting=Greylisting(2.0, observe=True))
        assert isinstance(verdict, Accepted)
        assert (verdict.notes[-1]["check"], verdict.notes[-1]["action"]) == ("greylist", "observe")
        assert isinstance(judged(asked(STRANGER), *checks), Accepted)

    def test_it_is_at_rcpt_alone(self) -> None:
        message = replace(asked(STRANGER), stage=Stage.MESSAGE)
        assert isinstance(judged(message, sign("one", stage=Stage.MESSAGE), sign("two", stage=Stage.MESSAGE)), Accepted)

    def test_what_it_reads_is_looked_up_where_a_sum_can_come_about(self) -> None:
        policy = Policy(TWO, greylisting=Greylisting(2.0))
        names = {key.name for keys in policy.wanted("192.0.2.7").values() for key in keys}
        assert names == {"greylist", "reverse_name", "spf"}
        assert policy.needs(asked()) == {"greylist"}
        assert not Policy((sign("one", Action.REJECT),), greylisting=Greylisting(2.0)).wanted("192.0.2.7")


class Story:
    """One sender's attempts over time, judged and learned."""

    def __init__(self, key: str = "example.net", windows: Windows = WINDOWS) -> None:
        self.kept = FakeTexts()
        self.memory = GreylistMemory(self.kept, windows)
        self.key = key

    def comes(self, after: float = 0.0, *, sender: str = "a", to: str = "example.org", checks: Any = TWO) -> bool:  # noqa: ANN401
        """Whether a mail is taken that comes so many seconds later."""
        self.kept.now += after
        attempt = attempt_name(self.key, Path(sender, "example.net"), Path("b", to))
        evidence = asked(self.memory.recall(self.key, attempt, self.kept.now), sender=sender, to=to)
        verdict = judged(evidence, *checks, greylisting=Greylisting(2.0, self.memory.windows))
        self.memory.learn(evidence, verdict, self.kept.now)
        return isinstance(verdict, Accepted)


class TestTheMemory:
    def test_who_comes_again_passes_with_all_mail(self) -> None:
        story = Story()
        assert not story.comes()
        assert not story.comes(60)
        assert story.comes(60)
        assert story.comes(sender="other", to="example.com")

    def test_another_sender_is_another_attempt(self) -> None:
        story = Story()
        assert not story.comes()
        assert not story.comes(300, sender="other")
        assert not story.comes(to="example.com")
        assert story.comes()

    def test_who_comes_too_late_begins_anew(self) -> None:
        story = Story()
        assert not story.comes()
        assert not story.comes(2 * DAY + 1)
        assert story.comes(120)

    def test_a_pass_is_renewed_by_use_and_ends_without(self) -> None:
        story = Story()
        story.comes()
        assert story.comes(300)
        for _ in range(3):
            assert story.comes(30 * DAY)
        assert not story.comes(37 * DAY)

    def test_a_use_that_was_not_suspicious_renews_it_too(self) -> None:
        story = Story()
        story.comes()
        story.comes(300)
        assert story.comes(30 * DAY, checks=TWO[:1])
        assert story.comes(30 * DAY)

    def test_a_pass_in_use_is_not_written_each_time(self) -> None:
        story = Story()
        story.comes()
        story.comes(300)
        written = dict(story.kept.kept)
        story.comes(60)
        assert story.kept.kept == written

    def test_who_was_not_suspicious_leaves_no_trace(self) -> None:
        story = Story()
        assert story.comes(checks=TWO[:1])
        assert story.kept.kept == {}

    def test_who_was_refused_by_another_check_leaves_no_trace(self) -> None:
        story = Story()
        assert not story.comes(checks=(*TWO, sign("hard", Action.REJECT)))
        assert story.kept.kept == {}

    def test_whom_an_exemption_lets_through_leaves_no_trace(self) -> None:
        kept, exempt = FakeTexts(), Exemption(Match(recipients=Patterns(("*@*",))), frozenset({"greylist"}))
        evidence = asked(STRANGER)
        GreylistMemory(kept, WINDOWS).learn(evidence, judged(evidence, *TWO, exemptions=(exempt,)), 1e9)
        assert kept.kept == {}

    def test_who_came_again_late_is_not_asked_any_more(self) -> None:
        story = Story()
        story.comes()
        assert story.comes(LATE + 1)
        assert story.comes(100 * DAY)

    def test_who_came_again_soon_is_asked_again_after_a_long_time(self) -> None:
        story = Story()
        story.comes()
        assert story.comes(LATE - 1)
        assert not story.comes(100 * DAY)

    def test_a_mail_server_that_does_not_come_again_is_not_asked_any_more(self) -> None:
        """It had a pass, so it is none of the bots; now it has lost a mail to us, and must not lose another."""
        story = Story()
        story.comes()
        story.comes(300)
        assert not story.comes(40 * DAY, sender="x")
        assert not story.comes(3 * DAY, sender="y")
        assert story.comes(1, sender="z")

    def test_a_bot_that_does_not_come_again_is_asked_each_time(self) -> None:
        story = Story()
        assert not any(story.comes(3 * DAY, sender=f"{name}") for name in "abcdefgh")

    def test_a_clock_that_jumps_back_begins_anew(self) -> None:
        story = Story()
        story.comes()
        assert not story.comes(-10 * DAY)
        assert story.comes(300)

    def test_what_a_person_has_put_is_no_time_and_no_harm(self) -> None:
        story = Story()
        story.kept.put("grey-pass", story.key, "yes", DAY)
        assert not story.comes()

    def test_a_client_without_a_key_is_not_remembered(self) -> None:
        story = Story(key="")
        story.comes()
        assert story.kept.kept == {}

    def test_entries_are_what_recall_reads(self) -> None:
        memory = GreylistMemory(FakeTexts(), WINDOWS)
        assert [(purpose, name) for purpose, name, _ in memory.entries("k", "k a b")] == [
            ("grey-pass", "k"),
            ("grey-spared", "k"),
            ("grey-first", "k a b"),
        ]
