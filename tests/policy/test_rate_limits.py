"""Limits as checks: in dialogues at each stage, exempt, observed, unknown; and judged again from the record."""

import json
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from smtproxy.policy.evidence import NOT_ASKED, Evidence, Fact, Known, Unknown
from smtproxy.policy.exemptions import Exemption, Match
from smtproxy.policy.facts import LIMITS, LIMITS_RECIPIENT, Exceeded, ExceededLimit
from smtproxy.policy.findings import Action
from smtproxy.policy.judge import Check, Policy
from smtproxy.policy.rate_limits import KNOWN_PER, PLACES, PREFIX, Of, Per, RateLimit, rate_limit, rate_limit_check
from smtproxy.policy.recording import Docket, outcome, restore
from smtproxy.session.verdicts import Stage
from tests.fakes.laboratory import Laboratory
from tests.policy.facts import PHRASES

CLIENT = "198.51.100.7"
_EXEMPT = (Exemption(Match(clients=(IPv4Network("198.51.100.0/24"),)), frozenset({"limit:some"})),)


def _limit(of: Of) -> RateLimit:
    return RateLimit("some", Per.CLIENT, of, 10, 60.0, 10)


def _policy(of: Of, action: Action, exemptions: tuple[Exemption, ...] = ()) -> Policy:
    limit = _limit(of)
    check = Check(rate_limit_check(limit), limit, action, early=of is Of.CONNECTIONS)
    return Policy((check,), exemptions=exemptions)


def _played(of: Of, action: Action, fact: Fact[Any] | None = None, **more: Any) -> Laboratory:  # noqa: ANN401
    lab = Laboratory(policy=_policy(of, action, **more), client=CLIENT)
    over = Known(Exceeded((ExceededLimit("other", 1.0), ExceededLimit("some", 4.2))))
    lab.facts = {PLACES[of].fact.name: over if fact is None else fact}
    lab.start()
    for octets in (b"EHLO c.example\r\n", b"MAIL FROM:<a@example.net>\r\n", b"RCPT TO:<b@example.org>\r\n"):
        lab.send(octets)
    return lab


@pytest.mark.parametrize("of", list(Of))
@pytest.mark.parametrize(
    ("action", "in_place_of_a_banner", "later"),
    [
        (Action.DEFER, b"421 4.7.0 Too many ", b"450 4.7.0 Too many "),
        (Action.DROP, b"421 4.7.0 Too many ", b"421 4.7.0 Too many "),
    ],
)
def test_exceeded(of: Of, action: Action, in_place_of_a_banner: bytes, later: bytes) -> None:
    """Never a 5xx: whoever comes more slowly is taken."""
    lab = _played(of, action)
    *_, last = lab.heard.splitlines()
    assert last.startswith(
        (in_place_of_a_banner if of is Of.CONNECTIONS else later) + of.value.replace("_", " ").encode()
    )
    assert len(lab.heard.splitlines()) == 1 if of is Of.CONNECTIONS else lab.codes == [220, 250, 250, int(later[:3])]
    assert lab.line is None  # no backend was opened for it
    assert lab.finished is (action is Action.DROP or of is Of.CONNECTIONS)


def test_what_was_seen_is_in_the_line() -> None:
    lab = _played(Of.MESSAGES, Action.DEFER)
    lab.send(b"QUIT\r\n")
    (line,) = lab.messages
    assert (line["outcome"], line["by"]) == ("deferred", "limit:some")
    assert line["findings"] == [
        {
            "check": "limit:some",
            "stage": "recipient",
            "reason": "limit_exceeded",
            "action": "defer",
            "of": "messages",
            "per": "client",
            "wait": 4.2,
        }
    ]


@pytest.mark.parametrize("of", list(Of))
def test_observed_exempt_tarpitted_or_not_exceeded_it_goes_on(of: Of) -> None:
    for lab in (
        _played(of, Action.OBSERVE),
        _played(of, Action.DROP, exemptions=_EXEMPT),
        _played(of, Action.TARPIT),
        _played(of, Action.DROP, Known(Exceeded((ExceededLimit("other", 1.0),)))),
        _played(of, Action.DROP, Unknown("timeout")),
    ):
        assert lab.codes == [220, 250, 250, 250]


def test_a_tarpit_is_felt() -> None:
    slow, quick = _played(Of.RECIPIENTS, Action.TARPIT), _played(Of.RECIPIENTS, Action.OBSERVE)
    assert slow.now > quick.now + 1


@pytest.mark.parametrize(
    ("excess", "delay"), [(0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (8, 60.0), (10**6, 60.0)]
)
def test_each_unit_doubles_the_delay_up_to_the_longest(excess: int, delay: float) -> None:
    limit = replace(_limit(Of.UNKNOWN_RECIPIENTS), longest_delay=60.0)
    assert limit.delay(excess) == delay
    assert limit.beyond == 6, "so many units lead from the first delay to the longest"


def test_the_longest_may_be_the_first_or_none() -> None:
    limit = _limit(Of.UNKNOWN_RECIPIENTS)
    assert (limit.delay(3), limit.beyond) == (None, 0)
    for longest in (1.0, 0.5):
        short = replace(limit, longest_delay=longest)
        assert (short.delay(1), short.delay(5), short.beyond) == (longest, longest, 0)


def _harvest(action: Action, exemptions: tuple[Exemption, ...] = ()) -> Policy:
    limit = replace(_limit(Of.UNKNOWN_RECIPIENTS), longest_delay=60.0)
    return Policy((Check(rate_limit_check(limit), limit, action),), exemptions=exemptions)


def _waits(policy: Policy, excesses: tuple[int, ...] = (1, 2, 3, 4)) -> list[float]:
    """Return after how many seconds each RCPT of a session has its reply, by how far the limit is exceeded then."""
    lab = Laboratory(policy=policy, client=CLIENT)
    lab.start()
    lab.send(b"EHLO c.example\r\n")
    lab.send(b"MAIL FROM:<a@example.net>\r\n")
    waits = []
    for number, excess in enumerate(excesses):
        lab.facts = {LIMITS_RECIPIENT.name: Known(Exceeded((ExceededLimit("some", 4.2, excess),)))}
        before = lab.now
        lab.send(b"RCPT TO:<u%d@example.org>\r\n" % number)
        waits.append(round(lab.now - before, 1))
    assert lab.codes == [220, 250, 250, *(250 for _ in excesses)]
    return waits


def test_who_goes_on_waits_twice_as_long_each_time() -> None:
    quick = _waits(_harvest(Action.OBSERVE))
    slow = _waits(_harvest(Action.TARPIT))
    assert [round(one - other) for one, other in zip(slow, quick, strict=True)] == [1, 2, 4, 8]
    assert _waits(_harvest(Action.TARPIT, _EXEMPT)) == quick


def test_the_record_gives_the_same_delay() -> None:
    lab = Laboratory(policy=_harvest(Action.TARPIT), client=CLIENT)
    lab.facts = {LIMITS_RECIPIENT.name: Known(Exceeded((ExceededLimit("some", 4.2, 5),)))}
    lab.start()
    for octets in (b"EHLO c.example\r\n", b"MAIL FROM:<a@example.net>\r\n", b"RCPT TO:<b@example.org>\r\n"):
        lab.send(octets)
    lab.dialogue.recipient = lab.dialogue.envelope.recipients[0]  # type: ignore[union-attr]
    policy, docket = _harvest(Action.TARPIT), Docket()
    seen = Evidence(Stage.RECIPIENT, lab.dialogue, lab.facts)
    verdict = policy.judge(seen, PHRASES)
    docket.note(seen, verdict)
    (again,) = restore(json.loads(json.dumps(docket.record(lab.dialogue))))
    assert verdict.delay == policy.judge(again.evidence, PHRASES).delay == 16.0
    assert verdict.notes[0]["delay"] == 16.0


def test_that_nobody_has_counted_is_no_finding_and_that_a_store_was_late_is_said() -> None:
    evidence = Evidence(Stage.MAIL, Laboratory().dialogue, {})
    assert evidence.get(PLACES[Of.MESSAGES].fact) == NOT_ASKED
    assert rate_limit(_limit(Of.MESSAGES), evidence) is None
    lab = _played(Of.MESSAGES, Action.DEFER, Unknown("timeout"))
    lab.send(b"QUIT\r\n")
    findings: Any = lab.messages[0]["findings"]
    (note,) = findings
    assert (note["reason"], note["applied"], note["unknown"]) == ("cannot_check", "observe", "timeout")


@pytest.mark.parametrize("of", [of for of in Of if of is not Of.CONNECTIONS])
def test_the_record_gives_the_same_verdict(of: Of) -> None:
    lab = _played(of, Action.DEFER)
    recipient = lab.dialogue.envelope.recipients[0]  # type: ignore[union-attr]
    lab.dialogue.recipient = recipient
    policy, docket = _policy(of, Action.DEFER), Docket()
    seen = Evidence(Stage.RECIPIENT, lab.dialogue, lab.facts)
    docket.note(seen, policy.judge(seen, PHRASES))
    (again,) = restore(docket.record(lab.dialogue))
    assert outcome(policy.judge(again.evidence, PHRASES)) == ("450", "limit:some") == (again.verdict, again.by)


def test_each_is_asked_where_its_fact_is_and_counted_per_whom_is_known_there() -> None:
    assert {place.fact for place in PLACES.values()} == LIMITS
    for of in Of:
        spec = rate_limit_check(_limit(of))
        assert (spec.name, spec.duty) == (f"{PREFIX}some", False)
        assert (spec.stages, spec.needs) == (frozenset({PLACES[of].stage}), (PLACES[of].fact,))
        assert Per.CLIENT in KNOWN_PER[of]
        assert (Per.SENDER_DOMAIN in KNOWN_PER[of]) is (of not in (Of.CONNECTIONS, Of.ERRORS))
