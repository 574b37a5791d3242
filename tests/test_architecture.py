"""docs/architecture.md is true: what it names exists, and what exists is named. Reads, and never imports, the source.

Rules of that document: a code span with a slash is a path in this tree; `name.py` is a file somewhere in it; `name()`
is a function; `NAME` in capitals is a constant; `python -m x` starts a module; any other name is at least a word of the
source. Words of SMTP (MAIL, HUP) therefore stand there without backticks.
"""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SPANS = sorted(set(re.findall(r"`([^`\n]+)`", DOCUMENT)))
MODULES = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "smtproxy").rglob("*.py") if path.name != "__init__.py"
)


@cache
def source() -> str:
    paths = [*sorted((ROOT / "smtproxy").rglob("*.py")), ROOT / "config.toml"]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def wrong(span: str) -> str:
    """What is wrong with a code span; empty: nothing."""
    if module := re.match(r"python -m ([a-z_.]+)", span):
        place = ROOT.joinpath(*module[1].split("."))
        return "" if place.with_suffix(".py").exists() or (place / "__main__.py").exists() else "no such module"
    if re.fullmatch(r"[\w./-]*/[\w./-]*", span):
        return "" if (ROOT / span).exists() else "no such path"
    if re.fullmatch(r"[\w-]+\.(?:py|toml|md)", span):
        return "" if any(".venv" not in path.parts for path in ROOT.rglob(span)) else "no such file"
    if re.fullmatch(r"\w+\(\)", span):
        return "" if re.search(rf"\bdef {span[:-2]}\(", source()) else "no such function"
    if re.fullmatch(r"_?[A-Z][A-Z_]+", span):
        return "" if re.search(rf"^ *{span}\b.* = ", source(), re.MULTILINE) else "no such constant"
    if re.fullmatch(r"\w+(?:\.\w+)*", span):
        lost = [part for part in span.split(".") if not re.search(rf"\b{part}\b", source())]
        return f"not in the source: {', '.join(lost)}" if lost else ""
    return ""


@pytest.mark.parametrize("span", SPANS)
def test_what_is_named_exists(span: str) -> None:
    assert wrong(span) == ""


def test_every_module_is_named() -> None:
    assert [module for module in MODULES if f"`{module}`" not in DOCUMENT] == []


def test_every_module_has_its_line_on_its_floor() -> None:
    """Once, in the table of its floor: "| `path` | what it is |"."""
    lines = re.findall(r"^\| `(smtproxy/[^`]+\.py)` \|", DOCUMENT, re.MULTILINE)
    assert sorted(line for line in lines if not line.endswith("__init__.py")) == MODULES


def test_prose_is_folded() -> None:
    assert [line for line in DOCUMENT.splitlines() if len(line) > 120 and not line.startswith("|")] == []


def test_the_question_of_the_reader_is_answered() -> None:
    """The files an administrator, an auditor or a new developer asks for first."""
    table = DOCUMENT.partition("## Who does what")[2].partition("\n## ")[0]
    answers = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", table, re.MULTILINE))
    for question, file in {
        "pairing of replies with commands": "smtproxy/session/slots.py",
        "the commit": "smtproxy/session/commit.py",
        "the allow-list of EHLO, and of parameters": "smtproxy/wire/ehlo.py",
        "the reply texts": "smtproxy/policy/replies.py",
        "the limits": "smtproxy/session/limits.py",
    }.items():
        assert f"`{file}`" in answers[question]


@pytest.mark.parametrize(
    "span",
    [
        "smtproxy/session/manager.py",
        "manager.py",
        "commit_anyway()",
        "NO_SUCH_TABLE",
        "Reception.nobody_there",
        "python -m smtproxy.app.nowhere",
    ],
)
def test_this_test_can_fail(span: str) -> None:
    assert wrong(span) != ""


@pytest.mark.parametrize("span", ["smtproxy/wire/", "relay.py", "finish()", "RULES", "config.toml", 'open = "mail"'])
def test_this_test_can_pass(span: str) -> None:
    assert wrong(span) == ""
