"""Clients that talk before they may."""

import pytest

from smtproxy.policy.checks.early_talker import CHECK, EarlyTalkerOptions, early_talker
from smtproxy.policy.evidence import Evidence
from smtproxy.policy.replies import Reason
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.verdicts import Stage
from tests.policy.facts import nothing

_EARLY = Dialogue("testsession", "192.0.2.10", early=(Stage.CONNECT, Stage.HELLO, Stage.DATA))


@pytest.mark.parametrize("stage", sorted(CHECK.stages, key=str))
def test_who_talked_before_the_reply_is_found(stage: Stage) -> None:
    finding = early_talker(EarlyTalkerOptions(), Evidence(stage, _EARLY))
    assert finding is not None
    assert finding.reason is Reason.EARLY_TALKER
    assert finding.action is None


@pytest.mark.parametrize("stage", sorted(CHECK.stages, key=str))
def test_who_waits_is_not(stage: Stage) -> None:
    assert early_talker(EarlyTalkerOptions(), nothing(stage)) is None


def test_it_is_a_judgement_about_three_replies() -> None:
    assert not CHECK.duty
    assert CHECK.stages == {Stage.CONNECT, Stage.HELLO, Stage.DATA}
