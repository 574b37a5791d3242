"""Clients that speak another protocol."""

import pytest

from smtproxy.policy.checks.not_smtp import CHECK, NotSmtpOptions, not_smtp
from smtproxy.policy.evidence import Evidence
from smtproxy.policy.replies import Reason
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.verdicts import Stage
from tests.policy.facts import nothing


@pytest.mark.parametrize("protocol", ["HTTP", "TLS"])
def test_another_protocol_is_found_and_named(protocol: str) -> None:
    evidence = Evidence(Stage.PROTOCOL, Dialogue("testsession", "192.0.2.10", foreign=protocol))
    finding = not_smtp(NotSmtpOptions(), evidence)
    assert finding is not None
    assert (finding.reason, finding.saw, finding.detail) == (Reason.NOT_SMTP, {"protocol": protocol}, protocol)
    assert finding.action is None


def test_a_mistake_is_no_other_protocol() -> None:
    assert not_smtp(NotSmtpOptions(), nothing(Stage.PROTOCOL)) is None


def test_it_is_a_judgement() -> None:
    assert not CHECK.duty
    assert CHECK.stages == {Stage.PROTOCOL}
