"""The registry of checks."""

from smtproxy.policy.checks import CHECKS
from smtproxy.session.verdicts import Stage


def test_names_are_different_and_can_be_configured() -> None:
    names = [check.name for check in CHECKS]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() and name.islower() for name in names)


def test_each_check_is_asked_some_day_and_has_defaults() -> None:
    for check in CHECKS:
        assert check.stages, check.name
        assert check.stages <= set(Stage), check.name
        assert check.options() is not None, check.name


def test_what_must_never_be_lifted_is_a_duty() -> None:
    duties = {check.name for check in CHECKS if check.duty}
    assert duties == {"recipient_domain", "recipients", "size", "bare_newlines", "loops", "protocol_errors"}
