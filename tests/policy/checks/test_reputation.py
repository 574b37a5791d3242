"""Who is in the penalty box."""

from smtproxy.policy.checks.reputation import CHECK, ReputationOptions, reputation
from smtproxy.policy.evidence import Unknown
from smtproxy.policy.facts import REPUTATION, Reputation
from smtproxy.policy.findings import CannotTell, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.facts import told

UNTIL = "2026-01-01T00:00:00Z"
NOTHING = ReputationOptions()


def test_a_client_in_the_box_is_found_with_the_reason_and_the_end() -> None:
    fact = Reputation(known_bad=True, badness=41.5, penalty="40 refused", penalty_until=UNTIL)
    found = reputation(NOTHING, told(Stage.CONNECT, {REPUTATION: fact}))
    assert isinstance(found, Finding)
    assert (found.reason, found.detail) == (Reason.PENALTY, "198.51.100.7")
    assert found.saw == {"penalty": "40 refused", "set_by": "smtproxy", "until": UNTIL, "badness": 41.5}


def test_nobody_else_is_found() -> None:
    fact = Reputation(known_bad=True, badness=99.0, blocked="198.51.100.7")
    assert reputation(NOTHING, told(Stage.CONNECT, {REPUTATION: fact})) is None
    assert reputation(NOTHING, told(Stage.CONNECT, {})) is None


def test_what_is_not_known_cannot_be_judged() -> None:
    unknown = told(Stage.CONNECT, {REPUTATION: Unknown("crashed")})
    assert reputation(NOTHING, unknown) == CannotTell("reputation", "crashed")


def test_it_is_a_judgement() -> None:
    assert not CHECK.duty
