"""A rule as a check: found, not found, cannot tell, observed; its words."""

import pytest

from smtproxy.policy.evidence import Known, Unknown
from smtproxy.policy.facts import SPF, Spf
from smtproxy.policy.findings import Action, CannotTell, OnError
from smtproxy.policy.judge import Check, Policy
from smtproxy.policy.replies import Reason, Wording
from smtproxy.policy.rules.check import RuleOptions, rule, rule_check
from smtproxy.policy.rules.expressions import Expression
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from tests.policy.facts import PHRASES
from tests.policy.rules.evidence import evidence

_WHEN = Expression('spf.result == "fail"', Stage.RECIPIENT)
_OPTIONS = RuleOptions(_WHEN, Wording(553, "5.7.23", "Publish a better SPF record"))
_SPEC = rule_check("spf", Stage.RECIPIENT, _WHEN)
_FAIL = evidence(spf=Known(Spf("fail")))


def _judge(action: Action, on_error: OnError = OnError.PASS, *, known: bool = True) -> Verdict:
    seen = _FAIL if known else evidence(spf=Unknown("timeout"))
    return Policy((Check(_SPEC, _OPTIONS, action, on_error),)).judge(seen, PHRASES)


def _said(verdict: Refused) -> str:
    return f"{verdict.reply.code} {verdict.reply.lines[-1].decode()}"


def test_it_is_a_judgement_that_says_what_it_needs() -> None:
    assert (_SPEC.name, _SPEC.duty) == ("rule:spf", False)
    assert _SPEC.needs == (SPF,)
    assert _SPEC.stages == {Stage.RECIPIENT}


def test_three_answers() -> None:
    finding = rule(_OPTIONS, _FAIL)
    assert finding is not None
    assert not isinstance(finding, CannotTell)
    assert (finding.reason, finding.wording, finding.action) == (Reason.RULE, _OPTIONS.wording, None)
    assert rule(_OPTIONS, evidence(spf=Known(Spf("pass")))) is None
    assert rule(_OPTIONS, evidence(spf=Unknown("timeout"))) == CannotTell("spf", "timeout")


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        (Action.REJECT, "553 5.7.23 Publish a better SPF record [testsession]"),
        (Action.DEFER, "451 4.7.23 Publish a better SPF record [testsession]"),
        (Action.DROP, "421 4.7.0 Publish a better SPF record [testsession]"),
    ],
)
def test_a_client_hears_the_words_of_the_rule(action: Action, reply: str) -> None:
    verdict = _judge(action)
    assert isinstance(verdict, Refused)
    assert _said(verdict) == reply
    assert verdict.by == "rule:spf"


def test_observe_notes_and_accepts() -> None:
    verdict = _judge(Action.OBSERVE)
    assert isinstance(verdict, Accepted)
    assert verdict.notes == ({"check": "rule:spf", "stage": "recipient", "reason": "rule", "action": "observe"},)


@pytest.mark.parametrize(("on_error", "kind"), [(OnError.PASS, Accepted), (OnError.DEFER, Refused)])
def test_on_error_says_what_follows_from_an_unknown_fact(on_error: OnError, kind: type[Verdict]) -> None:
    verdict = _judge(Action.REJECT, on_error, known=False)
    assert isinstance(verdict, kind)
    assert verdict.notes[0]["unknown"] == "timeout"
    if isinstance(verdict, Refused):
        assert _said(verdict).startswith("451 4.4.3 Mail cannot be checked now")


def test_it_may_ask_for_the_listener() -> None:
    when = Expression('listener == "mx"', Stage.RECIPIENT)
    assert rule(RuleOptions(when, _OPTIONS.wording, "mx"), _FAIL) is not None
    assert rule(RuleOptions(when, _OPTIONS.wording, "other"), _FAIL) is None
