"""The judge: findings folded in the order of configuration; a crash accepts nothing by accident."""

from collections.abc import Callable
from ipaddress import ip_network

import pytest

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.exemptions import Exemption, Match
from smtproxy.policy.findings import Action, CannotTell, CheckSpec, Finding, OnError
from smtproxy.policy.judge import Check, Override, Policy, Thresholds
from smtproxy.policy.patterns import Patterns
from smtproxy.policy.replies import Reason
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.envelope import Recipient
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.wire.paths import Path
from tests.policy.facts import PHRASES, nothing


def _finds(finding: Finding | None) -> Callable[[object, Evidence], Finding | None]:
    return lambda _options, _evidence: finding


def _crashes(_options: object, _evidence: Evidence) -> Finding | None:
    raise ZeroDivisionError


def _check(
    name: str,
    run: Callable[[object, Evidence], Finding | None],
    action: Action = Action.REJECT,
    *,
    duty: bool = False,
    on_error: OnError = OnError.PASS,
    stage: Stage = Stage.MAIL,
) -> Check:
    return Check(CheckSpec(name, frozenset({stage}), dict, run, duty=duty), None, action, on_error, early=True)


def _judge(*checks: Check, stage: Stage = Stage.MAIL) -> Verdict:
    return Policy(checks).judge(nothing(stage), PHRASES)


_FOUND = Finding(Reason.HELLO_FORGED, {"said": "x"})


@pytest.mark.parametrize("stage", list(Stage))
def test_nothing_found_is_accepted(stage: Stage) -> None:
    assert _judge(stage=stage) == Accepted(stage)
    assert _judge(_check("a", _finds(None), stage=stage), stage=stage) == Accepted(stage)


@pytest.mark.parametrize(("action", "code"), [(Action.REJECT, 550), (Action.DEFER, 450), (Action.DROP, 421)])
def test_configuration_says_what_follows(action: Action, code: int) -> None:
    verdict = _judge(_check("a", _finds(_FOUND), action))
    assert isinstance(verdict, Refused)
    assert (verdict.reply.code, verdict.by, verdict.drop) == (code, "a", action is Action.DROP)
    assert verdict.notes == (
        {"check": "a", "stage": "mail", "reason": "hello_forged", "action": action.value, "said": "x"},
    )


@pytest.mark.parametrize("action", [Action.OBSERVE, Action.TARPIT])
def test_mild_actions_accept_and_note(action: Action) -> None:
    verdict = _judge(_check("a", _finds(_FOUND), action))
    assert isinstance(verdict, Accepted)
    assert verdict.notes[0]["action"] == action.value
    assert verdict.delay == (5.0 if action is Action.TARPIT else 0.0)


def test_the_tarpit_delays_as_long_as_it_is_told() -> None:
    check = _check("a", _finds(_FOUND), Action.TARPIT)
    assert Policy((check,), 7.5).judge(nothing(Stage.MAIL), PHRASES).delay == 7.5


@pytest.mark.parametrize(
    ("action", "points", "suspect"),
    [
        (Action.OBSERVE, 1.0, False),
        (Action.SCORE, 1.0, True),
        (Action.SCORE, 0.0, False),
        (Action.TARPIT, 1.0, True),
    ],
)
def test_who_is_suspect_is_whoever_feels_a_finding(action: Action, points: float, suspect: bool) -> None:
    verdict = _judge(_check("a", _finds(Finding(Reason.HELLO_FORGED, points=points)), action))
    assert isinstance(verdict, Accepted)
    assert verdict.suspect is suspect


def test_what_is_lifted_makes_nobody_suspect() -> None:
    exempt = Exemption(Match(recipients=Patterns(["postmaster@*"])))
    policy = Policy((_check("a", _finds(_FOUND), Action.TARPIT, stage=Stage.MESSAGE),), exemptions=(exempt,))
    verdict = _in_turn(policy, "postmaster")
    assert isinstance(verdict, Accepted)
    assert (verdict.notes[0]["applied"], verdict.suspect) == ("observe", False)


def test_a_check_that_is_off_is_not_asked() -> None:
    assert _judge(_check("a", _crashes, Action.OFF)) == Accepted(Stage.MAIL)


def test_a_drop_before_the_banner_is_a_521() -> None:
    verdict = _judge(_check("a", _finds(_FOUND), Action.DROP, stage=Stage.CONNECT), stage=Stage.CONNECT)
    assert isinstance(verdict, Refused)
    assert verdict.reply.code == 521


def test_the_hardest_action_wins_and_all_findings_are_noted() -> None:
    verdict = _judge(
        _check("a", _finds(_FOUND), Action.OBSERVE),
        _check("b", _finds(_FOUND), Action.REJECT),
        _check("c", _finds(_FOUND), Action.DEFER),
    )
    assert isinstance(verdict, Refused)
    assert verdict.by == "b"
    assert [note["check"] for note in verdict.notes] == ["a", "b", "c"]


def test_among_equals_the_first_is_named() -> None:
    verdict = _judge(_check("first", _finds(_FOUND)), _check("second", _finds(_FOUND)))
    assert isinstance(verdict, Refused)
    assert verdict.by == "first"


def test_delays_add_up_even_where_something_is_refused() -> None:
    slow = Finding(Reason.ERRORS_SOFT, delay=2.0)
    verdict = _judge(_check("a", _finds(slow), Action.OBSERVE), _check("b", _finds(slow), Action.REJECT))
    assert verdict.delay == 4.0


def test_a_finding_with_a_tarpit_of_its_own_is_delayed_by_that_and_not_by_both() -> None:
    own = _finds(Finding(Reason.ERRORS_SOFT, tarpit=8.0))
    assert _judge(_check("a", own, Action.TARPIT)).delay == 8.0
    assert _judge(_check("a", own, Action.TARPIT), _check("b", _finds(_FOUND), Action.TARPIT)).delay == 8.0
    short = _finds(Finding(Reason.ERRORS_SOFT, tarpit=2.0))
    assert _judge(_check("a", short, Action.TARPIT)).delay == 2.0
    assert _judge(_check("a", short, Action.TARPIT), _check("b", _finds(_FOUND), Action.TARPIT)).delay == 5.0
    for other in (Action.OBSERVE, Action.SCORE, Action.DEFER):
        assert _judge(_check("a", own, other)).delay == 0.0


def test_a_duty_sets_its_action_itself() -> None:
    fixed = Finding(Reason.TOO_LARGE, detail="10", action=Action.REJECT)
    verdict = _judge(_check("a", _finds(fixed), Action.OBSERVE, duty=True))
    assert isinstance(verdict, Refused)
    assert verdict.reply.code == 552


@pytest.mark.parametrize(
    ("duty", "action", "on_error", "accepted"),
    [
        (True, Action.REJECT, OnError.PASS, False),
        (True, Action.OBSERVE, OnError.PASS, False),
        (False, Action.REJECT, OnError.PASS, True),
        (False, Action.REJECT, OnError.DEFER, False),
        (False, Action.OBSERVE, OnError.DEFER, True),
    ],
)
def test_a_check_that_crashes(duty: bool, action: Action, on_error: OnError, accepted: bool) -> None:
    verdict = _judge(_check("a", _crashes, action, duty=duty, on_error=on_error))
    assert isinstance(verdict, Accepted) is accepted
    assert verdict.notes[0]["reason"] == "check_crashed"
    assert verdict.notes[0]["error"] == "ZeroDivisionError"
    if isinstance(verdict, Refused):
        assert verdict.reply.code == 451


def test_the_same_evidence_gives_the_same_verdict() -> None:
    checks = (_check("a", _finds(_FOUND)), _check("b", _finds(_FOUND), Action.DEFER))
    assert _judge(*checks) == _judge(*checks)


def _judgement(name: str, action: Action, stage: Stage, *, weight: float = 1.0, soft: bool = False) -> Check:
    spec = CheckSpec(name, frozenset({stage}), dict, _finds(_FOUND))
    return Check(spec, None, action, weight=weight, soft_bounce=soft)


@pytest.mark.parametrize("home", [Stage.CONNECT, Stage.HELLO, Stage.MAIL])
def test_what_was_found_before_is_spoken_at_rcpt(home: Stage) -> None:
    policy = Policy((_judgement("a", Action.REJECT, home),))
    before = policy.judge(nothing(home), PHRASES)
    assert isinstance(before, Accepted)
    # The session line shows it already; what MAIL shows is on one line with RCPT anyway.
    assert [(note["applied"], note["because"]) for note in before.notes] == [("observe", "spoken at RCPT")] * (
        home is not Stage.MAIL
    )
    spoken = policy.judge(nothing(Stage.RECIPIENT), PHRASES)
    assert isinstance(spoken, Refused)
    assert (spoken.by, spoken.reply.code) == ("a", 550)
    assert policy.judge(nothing(Stage.DATA), PHRASES) == Accepted(Stage.DATA)


@pytest.mark.parametrize(
    ("weights", "code"),
    [((1.0, 1.9), None), ((1.0, 2.0), 450), ((3.0, 1.9), 450), ((3.0, 2.0), 550), ((5.0, -3.0), None)],
)
def test_a_sum_is_compared_with_the_thresholds(weights: tuple[float, ...], code: int | None) -> None:
    checks = tuple(
        _judgement(f"c{place}", Action.SCORE, Stage.CONNECT, weight=weight) for place, weight in enumerate(weights)
    )
    policy = Policy(checks, thresholds=Thresholds(defer=3.0, reject=5.0))
    for stage in (Stage.RECIPIENT, Stage.MESSAGE):
        verdict = policy.judge(nothing(stage), PHRASES)
        if code is None:
            assert isinstance(verdict, Accepted)
        else:
            assert isinstance(verdict, Refused)
            assert (verdict.by, verdict.reply.code) == ("score", code)
    assert isinstance(policy.judge(nothing(Stage.DATA), PHRASES), Accepted)


@pytest.mark.parametrize(("everywhere", "here"), [(True, False), (False, True)])
def test_soft_bounce_says_4xx_where_5xx_was_due(everywhere: bool, here: bool) -> None:
    policy = Policy((_judgement("a", Action.REJECT, Stage.RECIPIENT, soft=here),), soft_bounce=everywhere)
    verdict = policy.judge(nothing(Stage.RECIPIENT), PHRASES)
    assert isinstance(verdict, Refused)
    assert verdict.reply.code == 450
    assert [(note["action"], note["applied"]) for note in verdict.notes] == [("reject", "defer")]


@pytest.mark.parametrize("action", [Action.REJECT, Action.DROP])
def test_a_check_that_is_not_believed_defers(action: Action) -> None:
    evidence = nothing(Stage.RECIPIENT)
    demoted = Evidence(evidence.stage, evidence.dialogue, demoted=frozenset({"a"}))
    verdict = Policy((_judgement("a", action, Stage.RECIPIENT),)).judge(demoted, PHRASES)
    assert isinstance(verdict, Refused)
    assert (verdict.reply.code, verdict.drop) == (450, False)


@pytest.mark.parametrize(("on_error", "accepted"), [(OnError.PASS, True), (OnError.DEFER, False)])
@pytest.mark.parametrize("action", [Action.REJECT, Action.OBSERVE])
def test_not_knowing_does_what_on_error_says(action: Action, on_error: OnError, accepted: bool) -> None:
    spec = CheckSpec("a", frozenset({Stage.RECIPIENT}), dict, lambda *_: CannotTell("spf", "timeout"))
    verdict = Policy((Check(spec, None, action, on_error),)).judge(nothing(Stage.RECIPIENT), PHRASES)
    assert isinstance(verdict, Accepted) is (accepted or action is Action.OBSERVE)
    (note,) = verdict.notes
    assert (note["reason"], note["fact"], note["unknown"]) == ("cannot_check", "spf", "timeout")
    if isinstance(verdict, Refused):
        assert verdict.reply.code == 451


def test_recipients_whose_message_would_be_judged_otherwise_come_again() -> None:
    strict, mild = _judgement("m", Action.REJECT, Stage.MESSAGE), _judgement("m", Action.OBSERVE, Stage.MESSAGE)
    early_only = _judgement("e", Action.OBSERVE, Stage.CONNECT)
    policy = Policy(
        (strict, early_only),
        overrides=(
            Override("sales", Match(recipients=Patterns(["sales@example.org"])), (mild, early_only)),
            Override("info", Match(recipients=Patterns(["info@example.org"])), (strict,)),
        ),
    )
    plain, sales, info = (Path(name, "example.org") for name in ("user", "sales", "info"))
    for first, second, code in ((plain, sales, 452), (sales, plain, 452), (plain, info, None), (plain, plain, None)):
        dialogue = Dialogue("s", "192.0.2.1", recipient=Recipient(second))
        verdict = policy.judge(Evidence(Stage.RECIPIENT, dialogue, standing=first), PHRASES)
        assert (verdict.reply.code if isinstance(verdict, Refused) else None) == code
    for to, code in ((plain, 550), (sales, None)):
        verdict = policy.judge(Evidence(Stage.MESSAGE, Dialogue("s", "192.0.2.1"), standing=to), PHRASES)
        assert (verdict.reply.code if isinstance(verdict, Refused) else None) == code


def _in_turn(policy: Policy, *names: str) -> Verdict:
    """Judge recipients one after the other, then the message."""
    standing = None
    for name in names:
        dialogue = Dialogue("s", "192.0.2.1", recipient=Recipient(Path(name, "example.org")))
        verdict = policy.judge(Evidence(Stage.RECIPIENT, dialogue, standing=standing), PHRASES)
        if isinstance(verdict, Refused):
            return verdict
        standing = standing or Path(name, "example.org")
    return policy.judge(Evidence(Stage.MESSAGE, Dialogue("s", "192.0.2.1"), standing=standing), PHRASES)


@pytest.mark.parametrize("names", [("victim",), ("postmaster", "victim"), ("victim", "postmaster")])
def test_an_exempt_recipient_exempts_nobody_else(names: tuple[str, ...]) -> None:
    """Postmaster in front of a victim lifted what is judged of the message for both."""
    exempt = Exemption(Match(recipients=Patterns(["postmaster@*"])))
    policy = Policy((_judgement("m", Action.REJECT, Stage.MESSAGE),), exemptions=(exempt,))
    verdict = _in_turn(policy, *names)
    assert isinstance(verdict, Refused)
    assert verdict.reply.code == (550 if len(names) == 1 else 452)
    assert isinstance(_in_turn(policy, "postmaster", "postmaster"), Accepted)


def test_nor_do_points_of_a_score_that_were_lifted_for_another() -> None:
    listed = CheckSpec("l", frozenset({Stage.CONNECT}), dict, _finds(_FOUND), lists=True)
    checks = (Check(listed, None, Action.SCORE, weight=2), _judgement("m", Action.SCORE, Stage.MESSAGE))
    exempt = Exemption(Match(recipients=Patterns(["postmaster@*"])), frozenset(), lists=True)
    policy = Policy(checks, exemptions=(exempt,), thresholds=Thresholds(reject=3))
    for names in (("victim",), ("postmaster", "victim")):
        assert isinstance(_in_turn(policy, *names), Refused)
    assert isinstance(_in_turn(policy, "postmaster"), Accepted)


@pytest.mark.parametrize(
    ("exemption", "spared"),
    [
        (Exemption(Match((ip_network("192.0.2.0/24"),))), True),
        (Exemption(Match((ip_network("192.0.2.0/24"),)), frozenset({"hello"})), False),
        (Exemption(Match((ip_network("192.0.2.0/24"),), recipients=Patterns(["postmaster@*"]))), False),
        (Exemption(Match(recipients=Patterns(["postmaster@*"]))), False),
        (Exemption(Match((ip_network("198.51.100.0/24"),))), False),
    ],
)
def test_who_is_exempt_from_everything_whatever_he_sends(exemption: Exemption, spared: bool) -> None:
    policy = Policy((), exemptions=(Exemption(Match((ip_network("203.0.113.0/24"),))), exemption))
    assert policy.spares("192.0.2.1") is spared
    assert not policy.spares("")
    assert not Policy(()).spares("192.0.2.1")


def test_what_persons_have_set_is_not_governed() -> None:
    judging, person = _spec("judging"), _spec("blocked")
    policy = Policy((Check(judging, None, Action.REJECT), Check(person, None, Action.REJECT)))
    assert policy.governed(nothing(Stage.RECIPIENT)) == ("judging",)


def test_who_may_decide_has_a_name() -> None:
    assert Policy((Check(_spec("judging"), None), Check(_spec("off"), None, Action.OFF))).names == {
        "judging",
        "score",
        "greylist",
    }


def _spec(name: str) -> CheckSpec:
    return CheckSpec(name, frozenset({Stage.RECIPIENT}), dict, lambda *_: None)
