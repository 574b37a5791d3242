"""Forged authors, and who is believed that they are not."""

import pytest

from smtproxy.policy.checks.dmarc import CHECK, DmarcOptions, check, dmarc
from smtproxy.policy.evidence import Unknown
from smtproxy.policy.facts import ARC, DMARC, Arc, Dmarc
from smtproxy.policy.findings import CannotTell, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.checks.evidence import seen

TRUSTING = DmarcOptions(trusted_sealers=("list.example",))


def result(name: str, policy: str = "reject") -> Dmarc:
    return Dmarc(name, "example.com", policy, "example.com")


@pytest.mark.parametrize(
    ("fact", "found"),
    [
        (result("fail"), Reason.DMARC_REJECT),
        (result("pass"), None),
        (result("none", ""), None),
        (result("permerror", ""), None),
        (result("fail", "none"), None),
        (result("fail", "quarantine"), None),
        (result("temperror"), CannotTell("dmarc", "temperror")),
        (result("temperror", ""), CannotTell("dmarc", "temperror")),
        (Unknown("too large"), CannotTell("dmarc", "too large")),
    ],
)
def test_results(fact: object, found: object) -> None:
    said = dmarc(DmarcOptions(), seen(Stage.MESSAGE, (DMARC, fact)))
    assert (said.reason if isinstance(said, Finding) else said) == found
    if isinstance(said, Finding):
        assert said.saw == {"domain": "example.com", "policy": "reject", "record": "example.com"}


def test_policies_are_options() -> None:
    assert dmarc(DmarcOptions(reject=False), seen(Stage.MESSAGE, (DMARC, result("fail")))) is None
    found = dmarc(DmarcOptions(quarantine=True), seen(Stage.MESSAGE, (DMARC, result("fail", "quarantine"))))
    assert isinstance(found, Finding)
    assert found.reason is Reason.DMARC_QUARANTINE


@pytest.mark.parametrize(
    ("arc", "found"),
    [
        (Arc("pass", ("list.example",), "pass"), None),
        (Arc("pass", ("list.example", "evil.example"), "pass"), None),
        (Arc("pass", ("list.example",), "fail"), Reason.DMARC_REJECT),
        (Arc("pass", ("list.example",), ""), Reason.DMARC_REJECT),
        (Arc("pass", ("evil.example", "list.example"), "pass"), Reason.DMARC_REJECT),
        (Arc("pass", ("sub.list.example",), "pass"), Reason.DMARC_REJECT),
        (Arc("fail", (), ""), Reason.DMARC_REJECT),
        (Arc("none"), Reason.DMARC_REJECT),
        (Unknown("timeout"), CannotTell("arc", "timeout")),
    ],
)
def test_trusted_sealers(arc: object, found: object) -> None:
    evidence = seen(Stage.MESSAGE, (DMARC, result("fail")), (ARC, arc))
    said = dmarc(TRUSTING, evidence)
    assert (said.reason if isinstance(said, Finding) else said) == found
    assert isinstance(dmarc(DmarcOptions(), evidence), Finding)


def test_chains_are_looked_at_only_where_somebody_is_trusted() -> None:
    assert check(DmarcOptions()).needs == (DMARC,)
    assert check(TRUSTING).needs == CHECK.needs == (DMARC, ARC)
    assert dmarc(TRUSTING, seen(Stage.MESSAGE, (DMARC, result("pass")), (ARC, Unknown("timeout")))) is None
