"""docs/checks.md is what registry, models, profiles and replies say."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from smtproxy.app.checks_reference import document, reasons
from smtproxy.app.config import load
from smtproxy.app.config.profiles import PROFILES, Profile
from smtproxy.policy.checks import CHECKS
from smtproxy.policy.findings import CheckSpec
from smtproxy.policy.replies import TABLE, Reason
from smtproxy.policy.rules.expressions import Expression
from smtproxy.policy.rules.variables import STAGES, VARIABLES

ROOT = Path(__file__).parents[2]
_NOT_OF_A_CHECK = {
    Reason.RULE,
    Reason.LIMIT_EXCEEDED,
    Reason.CHECK_CRASHED,
    Reason.CANNOT_CHECK,
    Reason.SCORE_REACHED,
    Reason.OTHER_POLICY,
    Reason.GREYLISTED,
}


def _section(title: str) -> str:
    return document().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("spec", CHECKS, ids=lambda spec: spec.name)
def test_each_check_has_its_line_and_its_section(spec: CheckSpec) -> None:
    line = next(line for line in document().splitlines() if line.startswith(f"| [`{spec.name}`](#{spec.name}) |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    text = _section(spec.name)
    assert cells[1] == ("duty" if spec.duty else "judgement")
    assert "Facts: " in text
    for stage in spec.stages:
        assert stage.value in cells[2]
    for key in spec.needs:
        assert f"`{key.name}`" in text
    if spec.duty:
        assert "Exempt: nobody." in text
        assert "Profiles:" not in text
    else:
        assert cells[3:] == [f"`{PROFILES[spec.name].action(profile)}`" for profile in Profile]
        assert f'`checks = ["{spec.name}"]`' in text
        assert PROFILES[spec.name].why.split()[0] in text
    for reason in reasons(spec):
        assert f"| `{reason.value}` | {TABLE[reason].code} {TABLE[reason].enhanced} " in text


def test_every_reason_belongs_to_a_check() -> None:
    given = {reason for spec in CHECKS for reason in reasons(spec)}
    assert set(Reason) - given == _NOT_OF_A_CHECK


def test_every_name_of_a_rule_is_there_with_its_meaning() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| ([^|]+) \| ([^|]+) \| (.*) \|$", _section("Rules of your own"), re.MULTILINE)
    assert [row[0] for row in rows] == list(VARIABLES)
    assert all(meaning for *_, meaning in rows)


def test_its_rules_are_rules(tmp_path: Path) -> None:
    text = document()
    example = text.partition("```toml\n")[2].partition("```")[0]
    file = tmp_path / "a.toml"
    file.write_text(
        f'[[listeners]]\nbind = ["127.0.0.1:0"]\nbackend = "b"\ndomains = ["a.example"]\n'
        f'[backends.b]\nservers = ["127.0.0.1:25"]\n{example}'
    )
    assert [rule.name for rule in load(file).rules] == [tomllib.loads(example)["rules"][0]["name"]]
    for expression in ("header.date_off > 3600.0", '["example.com", "example.net"].exists(d, sender_domain == d)'):
        assert f"`{expression}`" in text
        assert Expression(expression, STAGES[-1]) is not None


def test_prose_is_folded() -> None:
    assert [line for line in document().splitlines() if len(line) > 120 and not line.startswith("|")] == []


def test_the_document_is_current() -> None:
    current = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    assert current == document(), "run: python -m smtproxy.app.checks_reference > docs/checks.md"


def test_the_command_prints_it() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "smtproxy.app.checks_reference"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert (printed.stdout, printed.stderr) == (document(), "")
