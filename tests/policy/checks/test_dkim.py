"""Signatures that are worth nothing."""

import pytest

from smtproxy.policy.checks.dkim import CHECK, DkimOptions, dkim
from smtproxy.policy.evidence import Unknown
from smtproxy.policy.facts import DKIM, Signature, Signatures
from smtproxy.policy.findings import CannotTell, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.checks.evidence import seen


def signed(*results: str, partial: bool = False, more: int = 0) -> Signatures:
    return Signatures(tuple(Signature("example.com", "s", result, partial=partial) for result in results), more)


@pytest.mark.parametrize(
    ("fact", "found"),
    [
        (signed(), None),
        (signed("pass"), None),
        (signed("fail", "pass"), None),
        (signed("fail"), Reason.DKIM_BROKEN),
        (signed("fail", "permerror"), Reason.DKIM_BROKEN),
        (signed("fail", "temperror"), CannotTell("dkim", "temperror")),
        (signed("temperror", "pass"), None),
        (signed("pass", more=1), Reason.DKIM_MANY),
        (Unknown("too large"), CannotTell("dkim", "too large")),
    ],
)
def test_results(fact: object, found: object) -> None:
    said = dkim(DkimOptions(), seen(Stage.MESSAGE, (DKIM, fact)))
    assert (said.reason if isinstance(said, Finding) else said) == found
    if isinstance(said, Finding):
        assert dkim(DkimOptions(broken=False, many=False), seen(Stage.MESSAGE, (DKIM, fact))) is None


def test_partial_signatures() -> None:
    evidence = seen(Stage.MESSAGE, (DKIM, signed("pass", partial=True)))
    assert dkim(DkimOptions(), evidence) is None
    found = dkim(DkimOptions(partial=True), evidence)
    assert isinstance(found, Finding)
    assert found.reason is Reason.DKIM_PARTIAL
    assert dkim(DkimOptions(partial=True), seen(Stage.MESSAGE, (DKIM, signed("pass")))) is None


def test_it_needs_the_signatures_alone() -> None:
    assert CHECK.needs == (DKIM,)
    assert CHECK.stages == {Stage.MESSAGE}
