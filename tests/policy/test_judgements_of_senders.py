"""The checks of sender and header as the judge sees them: found, exempt, observed, and not known with both `on_error`.

What each of them finds is in tests/policy/checks.
"""

from dataclasses import dataclass
from ipaddress import IPv4Network

import pytest

from smtproxy.policy.checks import dkim, dmarc, header, null_sender, own_sender, spf
from smtproxy.policy.evidence import Evidence, Unknown
from smtproxy.policy.exemptions import Exemption, Match
from smtproxy.policy.facts import (
    DKIM,
    DMARC,
    HEADER,
    SPF,
    Dmarc,
    HeaderBlock,
    Signature,
    Signatures,
    Spf,
)
from smtproxy.policy.findings import Action, CheckSpec, OnError
from smtproxy.policy.judge import Check, Policy
from smtproxy.session.verdicts import Accepted, Refused, Stage
from tests.policy.checks.evidence import seen
from tests.policy.facts import PHRASES

SILENT = Unknown("timeout")


@dataclass(frozen=True)
class Case:
    """A check with evidence in which it finds something, and evidence in which it cannot tell."""

    spec: CheckSpec
    options: object
    found: Evidence
    says: bytes
    unknown: Evidence | None
    fact: str = ""


OURS = own_sender.OwnSenderOptions(domains=frozenset({"example.org"}))
FAIL, NONE = Spf("fail", "example.com"), Signatures()
ODD = HeaderBlock(from_domains=("example.org",), date_off=0.0)

CASES = [
    Case(
        spf.CHECK,
        spf.SpfOptions(),
        seen(Stage.RECIPIENT, (SPF, FAIL), recipients=("ann@example.org",)),
        b"550 5.7.23 SPF of example.com does not allow your address; ",
        seen(Stage.RECIPIENT, (SPF, SILENT), recipients=("ann@example.org",)),
        "spf",
    ),
    Case(
        own_sender.CHECK,
        OURS,
        seen(Stage.RECIPIENT, (SPF, FAIL), sender="boss@example.org", recipients=("ann@example.org",)),
        b"550 5.7.1 MAIL FROM is in example.org, which is ours, ",
        seen(Stage.RECIPIENT, (SPF, SILENT), sender="boss@example.org", recipients=("ann@example.org",)),
        "spf",
    ),
    Case(
        own_sender.CHECK,
        OURS,
        seen(Stage.MESSAGE, (SPF, FAIL), (DKIM, NONE), (HEADER, ODD)),
        b"550 5.7.1 From is in example.org, which is ours, ",
        seen(Stage.MESSAGE, (SPF, FAIL), (DKIM, NONE), (HEADER, SILENT)),
        "header",
    ),
    Case(
        null_sender.CHECK,
        null_sender.NullSenderOptions(),
        seen(Stage.RECIPIENT, sender="", recipients=("ann@example.org", "joe@example.org")),
        b"550 5.5.3 A bounce has one recipient ",
        None,
    ),
    Case(
        dkim.CHECK,
        dkim.DkimOptions(),
        seen(Stage.MESSAGE, (DKIM, Signatures((Signature("example.com", "s", "fail"),)))),
        b"550 5.7.20 No DKIM signature passes ",
        seen(Stage.MESSAGE, (DKIM, SILENT)),
        "dkim",
    ),
    Case(
        dmarc.CHECK,
        dmarc.DmarcOptions(),
        seen(Stage.MESSAGE, (DMARC, Dmarc("fail", "example.com", "reject", "example.com"))),
        b"550 5.7.26 DMARC of example.com asks to refuse mail ",
        seen(Stage.MESSAGE, (DMARC, Dmarc("temperror", "example.com"))),
        "dmarc",
    ),
    Case(
        header.CHECK,
        header.HeaderOptions(),
        seen(Stage.MESSAGE, (HEADER, HeaderBlock(from_fields=0, from_understood=False, date_off=0.0))),
        b"554 5.6.0 Message has no From field ",
        seen(Stage.MESSAGE, (HEADER, SILENT)),
        "header",
    ),
]
NAMES = [f"{case.spec.name}-{case.found.stage.value}" for case in CASES]


def judge(
    case: Case,
    evidence: Evidence,
    action: Action,
    *,
    on_error: OnError = OnError.PASS,
    exemptions: tuple[Exemption, ...] = (),
) -> Accepted | Refused:
    check = Check(case.spec, case.options, action, on_error)
    return Policy((check,), exemptions=exemptions).judge(evidence, PHRASES)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
class TestJudgements:
    def test_a_finding_is_refused_in_words_that_help(self, case: Case) -> None:
        verdict = judge(case, case.found, Action.REJECT)
        assert isinstance(verdict, Refused)
        assert verdict.by == case.spec.name
        assert verdict.reply.encode().startswith(case.says)
        deferred = judge(case, case.found, Action.DEFER)
        assert isinstance(deferred, Refused)
        assert deferred.reply.code in (450, 451, 452)

    def test_whoever_is_exempt_is_observed(self, case: Case) -> None:
        exemption = Exemption(Match(clients=(IPv4Network("192.0.2.10/32"),)), frozenset({case.spec.name}))
        verdict = judge(case, case.found, Action.REJECT, exemptions=(exemption,))
        assert isinstance(verdict, Accepted)
        assert all(note["applied"] == "observe" for note in verdict.notes)

    def test_observe_is_a_note(self, case: Case) -> None:
        verdict = judge(case, case.found, Action.OBSERVE)
        assert isinstance(verdict, Accepted)
        assert [note["check"] for note in verdict.notes] == [case.spec.name]

    def test_not_known(self, case: Case) -> None:
        if case.unknown is None:
            assert case.spec.needs == ()
            return
        passed = judge(case, case.unknown, Action.REJECT)
        assert isinstance(passed, Accepted)
        (note,) = passed.notes
        assert (note["fact"], note["applied"]) == (case.fact, "observe")
        deferred = judge(case, case.unknown, Action.REJECT, on_error=OnError.DEFER)
        assert isinstance(deferred, Refused)
        assert (deferred.reply.code, deferred.by) == (451, case.spec.name)
        assert isinstance(judge(case, case.unknown, Action.OBSERVE, on_error=OnError.DEFER), Accepted)
