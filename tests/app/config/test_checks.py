"""The tables of the checks, against the checks themselves. Mistakes are in tests/app/configurations."""

from dataclasses import fields

import pytest
from pydantic import BaseModel, ValidationError

from smtproxy.app.config.checks import DUTIES, Checks, Judgement
from smtproxy.policy.checks import CHECKS
from smtproxy.policy.findings import Action, OnError

TABLES: dict[str, BaseModel] = {name: getattr(Checks(), name) for name in Checks.model_fields}


def test_every_check_has_its_table_in_the_same_order() -> None:
    assert list(TABLES) == [check.name for check in CHECKS]


def test_duties_are_the_duties() -> None:
    assert {check.name for check in CHECKS if check.duty} == DUTIES


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_options_agree_with_those_of_the_check(check: object) -> None:
    """Own options of a check have the same name and default in both places; the rest comes from listener and server."""
    spec = next(one for one in CHECKS if one is check)
    table = dict(TABLES[spec.name])
    own = set(table) - {"enabled", *Judgement.model_fields}
    options = {field.name: field.default for field in fields(spec.options)}
    assert own <= options.keys()
    assert {name: table[name] for name in own} == {name: options[name] for name in own}


@pytest.mark.parametrize("name", sorted(DUTIES))
def test_duties_are_on_and_their_switch_names_the_danger(name: str) -> None:
    table = TABLES[name]
    assert dict(table)["enabled"] is True
    danger = type(table).model_fields["enabled"].description
    assert danger is not None
    assert danger.startswith("false ")


_OTHERS = {"not_smtp": Action.DROP, "blocked": Action.REJECT}
"""What is found by the first is no mail, by the second a person."""
_EARLY = {"blocked", "reputation"}
"""All is known of it by the address."""


def test_judgements_observe() -> None:
    """None of them refuses any mail unless the configuration says so."""
    judgements = {name: table for name, table in TABLES.items() if name not in DUTIES}
    assert judgements
    for name, table in judgements.items():
        action = _OTHERS.get(name, Action.OBSERVE)
        usual = {"action": action, "on_error": OnError.PASS, "weight": 1.0, "soft_bounce": False}
        assert dict(table)["early"] is (name in _EARLY)
        assert dict(table).items() >= usual.items(), name


@pytest.mark.parametrize("action", list(Action))
def test_every_action_can_be_configured(action: Action) -> None:
    assert Checks.model_validate({"hello": {"action": action.value}}).hello.action is action


@pytest.mark.parametrize(
    ("table", "right"),
    [
        ({"soft": 19}, True),
        ({"soft": 20}, False),
        ({"hard": 11}, True),
        ({"hard": 10}, False),
        ({"soft": 5, "hard": 6}, True),
    ],
)
def test_hard_is_above_soft(table: dict[str, int], right: bool) -> None:
    document = {"protocol_errors": table}
    if right:
        assert Checks.model_validate(document).protocol_errors.enabled
    else:
        with pytest.raises(ValidationError, match="must be above soft"):
            Checks.model_validate(document)
