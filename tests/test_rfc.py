"""docs/rfc.md is true as far as a machine can tell: what it names exists, and what the code cites stands in it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "rfc.md").read_text(encoding="utf-8")
ROWS = [line for line in DOCUMENT.splitlines() if line.startswith("| ") and not line.startswith("| section |")]
SHOWN = sorted(set(re.findall(r"`(tests/[^`]+)`", DOCUMENT)))
_SECTION = r"[1-9][0-9]*(?:\.[1-9][0-9]*)*"


@cache
def defined(path: Path) -> frozenset[str]:
    """Names of the tests in a file, in classes or not."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(
        node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, functions)
    )


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.parametrize("name", SHOWN)
def test_each_test_that_is_named_exists(name: str) -> None:
    path, _, function = name.partition("::")
    assert (ROOT / path).is_file()
    if path.endswith(".py") and function:
        assert function.startswith("test_")
        assert function in defined(ROOT / path)


@pytest.mark.parametrize("row", ROWS)
def test_each_row_is_whole(row: str) -> None:
    section, asked, done, shown = cells(row)
    assert re.fullmatch(rf"(?:RFC \d{{4}} )?{_SECTION}(?:, {_SECTION})*", section), section
    assert asked
    assert done
    assert re.fullmatch(r"`[^`]+`(?:, `[^`]+`)*", shown), shown
    for one in re.findall(r"`([^`]+)`", shown):
        assert re.fullmatch(r"tests/[\w/]+\.py::test_\w+|tests/session/dialogues/\w+\.dialogue", one), one


def test_sections_stand_in_their_order() -> None:
    """Within each table: a reader looks a section up by its number."""
    for table in DOCUMENT.split("\n## ")[1:-1]:
        listed = [cells(line)[0] for line in table.splitlines() if line.startswith("| ") and line in ROWS]
        numbers = [[int(part) for part in section.split(",")[0].split(".")] for section in listed]
        assert numbers == sorted(numbers), table.splitlines()[0]


def test_each_rfc_that_the_code_cites_is_here() -> None:
    sources = (path.read_text(encoding="utf-8") for path in sorted((ROOT / "smtproxy").rglob("*.py")))
    cited = {number for source in sources for number in re.findall(r"\bRFC (\d{4})\b", source)}
    assert sorted(number for number in cited if f"RFC {number}" not in DOCUMENT) == []


def test_each_rfc_of_a_heading_has_rows() -> None:
    for table in DOCUMENT.split("\n## ")[1:]:
        assert "| section |" in table or table.startswith("Others"), table.splitlines()[0]
