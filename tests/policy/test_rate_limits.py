"""Limits as checks: in dialogues at each stage, exempt, observed, unknown; and judged again from the record."""

from ipaddress import IPv4Network
from typing import Any

import pytest

from smtproxy.policy.evidence import NOT_ASKED, Evidence, Fact, Known, Unknown
from smtproxy.policy.exemptions import Exemption, Match
from smtproxy.policy.facts import LIMITS, Exceeded, ExceededLimit
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
