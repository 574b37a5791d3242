"""Patience with clients that make errors: first it costs time, then it ends."""

import pytest

from smtproxy.policy.checks.protocol_errors import CHECK, ProtocolErrorsOptions, protocol_errors
from smtproxy.policy.findings import Action
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.facts import errors


@pytest.mark.parametrize(
    ("number", "reason", "action", "delay"),
    [
        (1, None, None, 0.0),
        (10, None, None, 0.0),
        (11, Reason.ERRORS_SOFT, Action.OBSERVE, 1.0),
        (20, Reason.ERRORS_SOFT, Action.OBSERVE, 1.0),
        (21, Reason.ERRORS_HARD, Action.DROP, 0.0),
    ],
)
def test_soft_and_hard_limit(number: int, reason: Reason | None, action: Action | None, delay: float) -> None:
    finding = protocol_errors(ProtocolErrorsOptions(), errors(number))
    if finding is None:
        assert reason is None
    else:
        assert (finding.reason, finding.action, finding.delay) == (reason, action, delay)


def test_the_numbers_are_settings() -> None:
    finding = protocol_errors(ProtocolErrorsOptions(soft=1, hard=5, delay=7.0), errors(2))
    assert finding is not None
    assert finding.delay == 7.0


@pytest.mark.parametrize(("number", "found"), [(3, None), (4, {"errors": 4, "hurried": True})])
def test_in_a_hurry_there_is_less_patience(number: int, found: object) -> None:
    finding = protocol_errors(ProtocolErrorsOptions(), errors(number, hurried=True))
    assert (None if finding is None else finding.saw) == found
    assert finding is None or finding.action is Action.DROP
    assert protocol_errors(ProtocolErrorsOptions(), errors(number)) is None


def test_a_hurry_gives_nobody_more_patience() -> None:
    options = ProtocolErrorsOptions(soft=1, hard=2, hurried=9)
    finding = protocol_errors(options, errors(3, hurried=True))
    assert finding is not None
    assert finding.action is Action.DROP


def test_it_is_a_duty() -> None:
    assert CHECK.duty
    assert CHECK.stages == {Stage.PROTOCOL}
