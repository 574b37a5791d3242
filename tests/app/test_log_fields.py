"""docs/log-fields.md is what the code says."""

import subprocess
import sys
from pathlib import Path

from smtproxy.app.log_fields import document
from smtproxy.session.records import FIELDS, LEVELS, Event

ROOT = Path(__file__).parents[2]


def test_each_event_and_field_is_there() -> None:
    text = document()
    for event in Event:
        assert f"| [`{event.value}`](#{event.value}) | {LEVELS[event]} |\n" in text
        section = text.partition(f"\n## {event.value}\n")[2].partition("\n## ")[0]
        rows = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
        assert rows == list(FIELDS[event])


def test_a_bar_in_a_meaning_does_not_end_its_cell() -> None:
    assert all(row.replace("\\|", "").count("|") == 3 for row in document().splitlines() if row.startswith("| `"))


def test_the_document_is_current() -> None:
    current = (ROOT / "docs" / "log-fields.md").read_text(encoding="utf-8")
    assert current == document(), "run: python -m smtproxy.app.log_fields > docs/log-fields.md"


def test_the_command_prints_it() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "smtproxy.app.log_fields"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert printed.stdout == document()
    assert printed.stderr == ""
