"""Findings, and what may follow from them."""

from smtproxy.policy.findings import Action, CheckSpec, Finding, OnError
from smtproxy.policy.replies import Reason


def test_actions_are_listed_from_the_mildest_to_the_hardest() -> None:
    assert [action.value for action in Action] == ["off", "observe", "score", "tarpit", "defer", "reject", "drop"]
    assert {word.value for word in OnError} == {"pass", "defer"}


def test_a_finding_decides_nothing_by_itself() -> None:
    made = Finding(Reason.MAIL_LOOP)
    assert made.action is None
    assert (dict(made.saw), made.detail, made.delay) == ({}, "", 0.0)


def test_a_check_is_a_judgement_unless_it_says_otherwise() -> None:
    made = CheckSpec("x", frozenset(), dict, lambda _options, _evidence: None)
    assert not made.duty
    assert made.needs == ()
