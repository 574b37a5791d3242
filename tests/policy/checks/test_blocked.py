"""Whom a person has blocked."""

from smtproxy.policy.checks.blocked import CHECK, BlockedOptions, blocked
from smtproxy.policy.evidence import Unknown
from smtproxy.policy.facts import REPUTATION, SENDER_REPUTATION, Reputation
from smtproxy.policy.findings import CannotTell, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.facts import PHRASES, told

UNTIL = "2026-01-01T00:00:00Z"
CLIENT = Reputation(blocked="198.51.100.0/24", set_by="anna", reason="a bad lot", until=UNTIL)
SENDER = Reputation(blocked="example.net", set_by="bob", until=UNTIL)
NOTHING = BlockedOptions()


def test_a_client_is_found_with_who_has_set_it_and_when_it_ends() -> None:
    found = blocked(NOTHING, told(Stage.CONNECT, {REPUTATION: CLIENT}))
    assert isinstance(found, Finding)
    assert found.reason is Reason.BLOCKED
    assert found.saw == {"blocked": "198.51.100.0/24", "set_by": "anna", "until": UNTIL, "why": "a bad lot"}
    assert found.wording is not None
    assert PHRASES.phrase(found.wording, found.detail).lines == (
        b"5.7.1 Blocked here by hand: 198.51.100.0/24 (a bad lot); postmaster of this site can lift that [testsession]",
    )


def test_a_domain_is_found_when_it_is_named() -> None:
    found = blocked(NOTHING, told(Stage.MAIL, {REPUTATION: Reputation(), SENDER_REPUTATION: SENDER}))
    assert isinstance(found, Finding)
    assert found.saw == {"blocked": "example.net", "set_by": "bob", "until": UNTIL}


def test_nobody_else_is_found() -> None:
    facts = {REPUTATION: Reputation(known_bad=True, penalty="9 refused"), SENDER_REPUTATION: Reputation()}
    assert blocked(NOTHING, told(Stage.RECIPIENT, facts)) is None
    assert blocked(NOTHING, told(Stage.CONNECT, {})) is None


def test_what_is_not_known_cannot_be_judged() -> None:
    assert blocked(NOTHING, told(Stage.CONNECT, {REPUTATION: Unknown("crashed")})) == CannotTell(
        "reputation", "crashed"
    )


def test_it_is_a_judgement() -> None:
    assert not CHECK.duty
    assert not CHECK.lists
