"""Bare CR and LF in a body, under each of the settings."""

import pytest

from smtproxy.policy.checks.bare_newlines import CHECK, BareNewlinesOptions, bare_newlines
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from smtproxy.wire.newlines import NewlineMode
from tests.policy.facts import message, nothing


@pytest.mark.parametrize(
    ("mode", "bare", "dots", "reason"),
    [
        (NewlineMode.NORMALISE, True, True, None),
        (NewlineMode.REJECT, False, False, None),
        (NewlineMode.REJECT, True, False, Reason.BARE_NEWLINES),
        (NewlineMode.PASS, True, False, None),
        (NewlineMode.PASS, True, True, Reason.NEWLINES_AT_DOTS),
        (NewlineMode.PASS, False, False, None),
    ],
)
def test_what_is_found(mode: NewlineMode, bare: bool, dots: bool, reason: Reason | None) -> None:
    finding = bare_newlines(BareNewlinesOptions(mode), message(bare=bare, dots=dots))
    assert (finding.reason if finding else None) is reason


def test_without_a_message_there_is_nothing_to_find() -> None:
    assert bare_newlines(BareNewlinesOptions(NewlineMode.REJECT), nothing(Stage.MESSAGE)) is None


def test_it_is_a_duty() -> None:
    assert CHECK.duty
    assert CHECK.stages == {Stage.MESSAGE}
