"""The tables [[rules]]. Mistakes are in tests/app/configurations."""

from pathlib import Path

import pytest

from smtproxy.app.config import ConfigErrors, load
from smtproxy.app.config.rules import LONGEST_TEXT, MOST
from smtproxy.policy.findings import Action, OnError

MINIMAL = """
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:25"]
"""
RULE = '[[rules]]\nname = "r{}"\nwhen = "true"\nthen = "reject"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.toml"


def test_name_expression_and_action_are_enough(file: Path) -> None:
    file.write_text(MINIMAL + RULE.format(1))
    (rule,) = load(file).rules
    assert (rule.stage, rule.then, rule.on_error) == ("recipient", Action.REJECT, OnError.PASS)
    assert (rule.code, rule.enhanced, rule.text) == (550, "5.7.1", "Refused by local policy")


def test_most_rules(file: Path) -> None:
    file.write_text(MINIMAL + "".join(RULE.format(number) for number in range(MOST)))
    assert len(load(file).rules) == MOST
    file.write_text(MINIMAL + "".join(RULE.format(number) for number in range(MOST + 1)))
    with pytest.raises(ConfigErrors, match="rules: must not have more than 100 elements"):
        load(file)


@pytest.mark.parametrize(("length", "right"), [(1, True), (LONGEST_TEXT, True), (LONGEST_TEXT + 1, False)])
def test_length_of_a_text(length: int, right: bool, file: Path) -> None:
    file.write_text(f'{MINIMAL}{RULE.format(1)}text = "{"x" * length}"\n')
    if right:
        assert load(file).rules[0].text == "x" * length
    else:
        with pytest.raises(ConfigErrors, match="one line of 1 to 200"):
            load(file)


@pytest.mark.parametrize("text", ["two\\r\\n250 lines", "caf\\u00e9", " blank", "blank ", "{}", "\\u0007"])
def test_a_text_cannot_become_two_replies(text: str, file: Path) -> None:
    file.write_text(f'{MINIMAL}{RULE.format(1)}text = "{text}"\n')
    with pytest.raises(ConfigErrors, match="one line of 1 to 200"):
        load(file)


def test_only_rules_that_are_there_can_be_exempted(file: Path) -> None:
    exemption = '[[exemptions]]\nclients = ["192.0.2.0/24"]\nchecks = ["rule:{}"]\n'
    file.write_text(MINIMAL + exemption.format("r1") + RULE.format(1))
    assert load(file).exemptions[0].checks == ("rule:r1",)
    file.write_text(MINIMAL + exemption.format("r2") + RULE.format(1))
    with pytest.raises(ConfigErrors, match='there is no check "rule:r2"'):
        load(file)
