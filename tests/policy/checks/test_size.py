"""Messages above the limit: by the size they declare, and by the size they have."""

import pytest

from smtproxy.policy.checks.size import CHECK, SizeOptions, size
from smtproxy.policy.findings import Action
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.facts import mail, message, nothing

_LIMIT = SizeOptions(1000)


@pytest.mark.parametrize(
    ("declared", "found"), [(None, False), (0, False), (1000, False), (1001, True), (10**19, True)]
)
def test_the_declared_size(declared: int | None, found: bool) -> None:
    finding = size(_LIMIT, mail(declared))
    assert (finding is not None) is found
    if finding is not None:
        assert (finding.reason, finding.action) == (Reason.DECLARED_TOO_LARGE, Action.REJECT)
        assert finding.detail == "1000"


@pytest.mark.parametrize(("actual", "found"), [(0, False), (1000, False), (1001, True)])
def test_the_actual_size(actual: int, found: bool) -> None:
    finding = size(_LIMIT, message(size=actual))
    assert (finding is not None) is found
    if finding is not None:
        assert (finding.reason, dict(finding.saw)) == (Reason.TOO_LARGE, {"size": actual})


def test_nothing_declared_and_nothing_sent_is_nothing_found() -> None:
    for stage in (Stage.MAIL, Stage.MESSAGE):
        assert size(_LIMIT, nothing(stage)) is None


def test_it_is_a_duty_at_both_ends() -> None:
    assert CHECK.duty
    assert CHECK.stages == {Stage.MAIL, Stage.MESSAGE}
