"""What CEL says of a wrong expression, in an administrator's words, with the place in the expression."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from smtproxy.policy.rules.variables import VARIABLES
from smtproxy.session.verdicts import Stage


class ExpressionError(ValueError):
    """An expression that is no rule; its text says why, and where in the expression."""


NOT_OFFERED: Final[Mapping[str, str]] = {
    "map": "a rule makes no lists: say with `exists` or `all` what must hold for their elements",
    "filter": "a rule makes no lists: say with `exists` or `all` what must hold for their elements",
    "has": "ask `known.spf` whether there is a fact",
}
"""Macros of CEL that are withheld, and what to write instead."""

_ERROR = re.compile(r"ERROR: <input>:(-?\d+):-?(\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '\(?(.*?)\)?'$")
_SYNTAX: Final[Sequence[tuple[re.Pattern[str], str]]] = (
    (re.compile(r"mismatched input '<EOF>'"), "the expression ends too early"),
    (re.compile(r"missing '(.+?)' at '<EOF>'"), "the expression ends too early: `{}` is missing"),
    (re.compile(r"(?:mismatched|extraneous) input '(.+?)' expecting"), "`{}` is not expected here"),
    (re.compile(r"no viable alternative at input '(.+?)'"), "`{}` is not understood"),
    (re.compile(r"missing '(.+?)' at"), "`{}` is missing"),
    (re.compile(r"token recognition error at: '([\"'].*)'"), "`{}` does not end: a text stands between two quotes"),
    (re.compile(r"token recognition error at: '\s*(.*?)\s*'"), "`{}` is not understood"),
)
_KINDS: Mapping[str, str] = {
    "string": "a text",
    "int": "a whole number",
    "uint": "a whole number",
    "double": "a number with a point (write 1.0)",
    "bool": "yes or no",
    "null": "null",
    "bytes": "octets",
}


def complaint(said: str, stage: Stage) -> ExpressionError:
    """Put what the library said of an expression for this stage into words."""
    if "recursion" in said:
        return ExpressionError("is nested too deeply")
    found = [(int(one[1]), int(one[2]), one[3]) for one in _ERROR.finditer(said)]
    if not found:
        return ExpressionError(said)
    # A macro that is withheld leaves its variables undeclared in front of it: the cause stands behind its effects.
    withheld = [one for one in found if (name := _UNDECLARED.search(one[2])) and name[1] in NOT_OFFERED]
    line, column, text = (withheld or found)[0]
    place = f"line {line}, column {column}" if line > 1 else f"column {column}"
    return ExpressionError(f"{_words(text.removesuffix(' [INVALID_ARGUMENT]'), stage)} ({place})")


def _words(text: str, stage: Stage) -> str:
    if name := _UNDECLARED.search(text):
        return _no_such_name(name[1], stage)
    if overload := _OVERLOAD.search(text):
        operator = overload[1].removeprefix("@").replace("_", " ").strip() if "_" in overload[1] else overload[1]
        return f"`{operator.removeprefix('@')}` does not go with {' and '.join(map(_kind, _split(overload[2])))}"
    for pattern, words in _SYNTAX:
        if match := pattern.search(text):
            return words.format(*match.groups())
    return text[:1].lower() + text[1:]


def _split(kinds: str) -> list[str]:
    """Part "string, list(map(string, dyn))" at the commas that are not in brackets."""
    parts, depth = [""], 0
    for letter in kinds:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _kind(kind: str) -> str:
    if kind.startswith("list("):
        return "a list"
    return "a table" if kind.startswith("map(") else _KINDS.get(kind, kind)


def _no_such_name(name: str, stage: Stage) -> str:
    if name in NOT_OFFERED:
        return f"`{name}` is not offered: {NOT_OFFERED[name]}"
    if name in VARIABLES:
        stages = " or ".join(f'"{one.value}"' for one in VARIABLES[name].stages)
        return f'there is no `{name}` at stage "{stage.value}": it needs stage = {stages}'
    known = [one for one, variable in VARIABLES.items() if stage in variable.stages]
    if close := get_close_matches(name, known, n=1):
        return f"there is no `{name}`; did you mean `{close[0]}`?"
    table = name.partition(".")[0]
    if of_table := [one for one in known if one.startswith(f"{table}.")]:
        return f"there is no `{name}`; known are {', '.join(of_table)}"
    return f"there is no `{name}`; docs/checks.md has the names that a rule may use"
