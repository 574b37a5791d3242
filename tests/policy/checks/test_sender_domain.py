"""Whether a sender could be answered."""

import pytest

from smtproxy.policy.checks.sender_domain import CHECK, SenderDomainOptions, sender_domain
from smtproxy.policy.evidence import Unknown
from smtproxy.policy.facts import SENDER_DOMAIN, SenderDomain
from smtproxy.policy.findings import CannotTell, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from smtproxy.wire.paths import NULL_PATH, Path
from tests.policy.facts import nothing, told

ALL = SenderDomainOptions()
NONE = SenderDomainOptions(missing=False, null_mx=False, no_exchanger=False, bogus_exchanger=False)
SENDER = Path("x", "A.Test")


def at(*addresses: str) -> SenderDomain:
    return SenderDomain(exists=True, exchangers=("mx.a.test",), addresses=addresses)


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        (SenderDomain(exists=False), Reason.SENDER_DOMAIN_MISSING),
        (SenderDomain(exists=True, null_mx=True), Reason.SENDER_NULL_MX),
        (SenderDomain(exists=True), Reason.SENDER_NO_EXCHANGER),
        (at(), Reason.SENDER_NO_EXCHANGER),
        (at("8.8.8.8"), None),
        (SenderDomain(exists=True, addresses=("2606:4700::1",)), None),
        (at("127.0.0.1", "8.8.8.8"), None),
        *((at(one), Reason.SENDER_BOGUS_EXCHANGER) for one in ("127.0.0.1", "10.1.2.3", "0.0.0.0", "224.0.0.1")),
        *((at(one), Reason.SENDER_BOGUS_EXCHANGER) for one in ("192.0.2.1", "255.255.255.255", "169.254.0.1", "::1")),
        *((at(one), Reason.SENDER_BOGUS_EXCHANGER) for one in ("::", "fe80::1", "2001:db8::1", "::ffff:127.0.0.1")),
        (at("127.0.0.1", "fd00::1"), Reason.SENDER_BOGUS_EXCHANGER),
    ],
)
def test_findings(fact: SenderDomain, reason: Reason | None) -> None:
    evidence = told(Stage.RECIPIENT, {SENDER_DOMAIN: fact}, sender=SENDER)
    found = sender_domain(ALL, evidence)
    assert (found.reason if isinstance(found, Finding) else found) is reason
    assert sender_domain(NONE, evidence) is None
    if isinstance(found, Finding):
        assert found.saw["domain"] == "a.test"


def test_what_is_not_known_cannot_be_judged() -> None:
    evidence = told(Stage.MAIL, {SENDER_DOMAIN: Unknown("servfail")}, sender=SENDER)
    assert sender_domain(ALL, evidence) == CannotTell("sender_domain", "servfail")


@pytest.mark.parametrize("sender", [NULL_PATH, Path("x", "[192.0.2.1]"), Path("postmaster", "")])
def test_senders_without_a_domain(sender: Path) -> None:
    assert sender_domain(ALL, told(Stage.MAIL, {SENDER_DOMAIN: Unknown("no_domain")}, sender=sender)) is None


def test_without_a_sender_there_is_nothing_to_find() -> None:
    assert sender_domain(ALL, nothing(Stage.MAIL)) is None
    assert not CHECK.duty
