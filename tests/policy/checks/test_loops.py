"""Mail that goes in circles."""

import pytest

from smtproxy.policy.checks.loops import CHECK, LoopsOptions, loops
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.facts import message, nothing


@pytest.mark.parametrize(("received", "found"), [(0, False), (50, False), (51, True), (1000, True)])
def test_more_than_fifty_hops_are_a_loop(received: int, found: bool) -> None:
    finding = loops(LoopsOptions(), message(received=received))
    assert (finding is not None) is found
    if finding is not None:
        assert (finding.reason, finding.detail) == (Reason.MAIL_LOOP, "50")


def test_the_number_is_a_setting() -> None:
    assert loops(LoopsOptions(3), message(received=4)) is not None


def test_without_a_message_there_is_nothing_to_find() -> None:
    assert loops(LoopsOptions(), nothing(Stage.MESSAGE)) is None


def test_it_is_a_duty() -> None:
    assert CHECK.duty
    assert CHECK.stages == {Stage.MESSAGE}
