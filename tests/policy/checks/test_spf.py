"""Clients that the sender's domain does not send from."""

import pytest

from smtproxy.policy.checks.spf import CHECK, SpfOptions, check, spf
from smtproxy.policy.evidence import Unknown
from smtproxy.policy.facts import SPF, SPF_HELLO, Spf
from smtproxy.policy.findings import CannotTell, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.checks.evidence import seen
from tests.policy.facts import nothing

ALL = SpfOptions(softfail=True, permerror=True, hello=True)


@pytest.mark.parametrize(
    ("result", "reason", "by_default"),
    [
        ("fail", Reason.SPF_FAIL, True),
        ("softfail", Reason.SPF_SOFTFAIL, False),
        ("permerror", Reason.SPF_PERMERROR, False),
        ("pass", None, False),
        ("neutral", None, False),
        ("none", None, False),
    ],
)
def test_results(result: str, reason: Reason | None, by_default: bool) -> None:
    evidence = seen(Stage.RECIPIENT, (SPF, Spf(result, "example.com")), (SPF_HELLO, Spf("none")))
    found = spf(ALL, evidence)
    assert (found.reason if isinstance(found, Finding) else found) is reason
    if isinstance(found, Finding):
        assert found.saw == {"result": result, "domain": "example.com", "identity": "sender"}
        assert found.detail == "example.com"
    assert (spf(SpfOptions(), evidence) is not None) is by_default


def test_each_kind_can_be_left_out() -> None:
    assert spf(SpfOptions(fail=False), seen(Stage.MAIL, (SPF, Spf("fail", "example.com")))) is None


def test_hello_is_looked_at_where_it_is_wanted() -> None:
    evidence = seen(Stage.MAIL, (SPF, Spf("pass", "example.com")), (SPF_HELLO, Spf("fail", "mail.example.com")))
    assert spf(SpfOptions(), evidence) is None
    found = spf(SpfOptions(hello=True), evidence)
    assert isinstance(found, Finding)
    assert found.saw["identity"] == "hello"


def test_what_is_not_known() -> None:
    unknown, fail = Unknown("timeout"), Spf("fail", "example.com")
    assert spf(SpfOptions(), seen(Stage.MAIL, (SPF, unknown))) == CannotTell("spf", "timeout")
    assert spf(SpfOptions(), seen(Stage.MAIL, (SPF, Spf("temperror", "a.example")))) == CannotTell("spf", "temperror")
    both = SpfOptions(hello=True)
    assert isinstance(spf(both, seen(Stage.MAIL, (SPF, unknown), (SPF_HELLO, fail))), Finding)
    assert isinstance(spf(both, seen(Stage.MAIL, (SPF, fail), (SPF_HELLO, unknown))), Finding)
    found = spf(both, seen(Stage.MAIL, (SPF, Spf("pass", "a.example")), (SPF_HELLO, unknown)))
    assert found == CannotTell("spf_hello", "timeout")


def test_without_a_sender_there_is_nothing_to_find() -> None:
    assert spf(SpfOptions(), nothing(Stage.MAIL)) is None


def test_nothing_is_looked_up_that_is_not_asked_for() -> None:
    assert check(SpfOptions()).needs == (SPF,)
    assert check(SpfOptions(hello=True)).needs == CHECK.needs == (SPF, SPF_HELLO)
    assert not CHECK.duty
