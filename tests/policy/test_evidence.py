"""Evidence: not knowing is a value."""

from smtproxy.policy.evidence import Evidence, Known, Unknown
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.verdicts import Stage


def test_a_fact_is_known_or_says_why_not() -> None:
    assert Known(3).value == 3
    assert Unknown("timeout").reason == "timeout"
    unknown: object = Unknown("timeout")
    assert unknown != Known("timeout")


def test_evidence_without_lookups_is_the_dialogue() -> None:
    dialogue = Dialogue("testsession", "192.0.2.10")
    made = Evidence(Stage.MAIL, dialogue)
    assert made.dialogue is dialogue
    assert dict(made.facts) == {}
