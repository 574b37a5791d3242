"""Reads a script from a TOML or JSON file, for the sample backend as a process of its own.

    [[rules]]
    at = "rcpt"                  # a point of script.py
    nth = 2                      # and octets, connections, transactions, as in Rule
    do = [{ pause = 3 }, "normal", { reply = "250 2.1.5 stale" }, "close"]

A step without a value is a string, one with a value a table of one entry. `say` is exact octets (one character each, up
to U+00FF), `reply` is a line of text to which CRLF is added. It must never guess: an unknown word is an error.
"""

import json
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from smtproxy.sample.script import (
    Close,
    Drip,
    Endless,
    Idle,
    Normal,
    Pause,
    Point,
    Reset,
    Rule,
    Say,
    Script,
    Silence,
    Step,
    StopReading,
    Store,
    Tarpit,
    reply,
)

_WORDS: dict[str, Step] = {
    "normal": Normal(),
    "store": Store(),
    "silence": Silence(),
    "drip": Drip(),
    "close": Close(),
    "reset": Reset(),
    "stop_reading": StopReading(),
}
_SECONDS: dict[str, Callable[[float], Step]] = {"pause": Pause, "tarpit": Tarpit, "idle": Idle, "drip": Drip}
_OCTETS: dict[str, Callable[[bytes], Step]] = {"say": Say, "endless": Endless}
_RULE_FIELDS = {field.name for field in fields(Rule)}


class ScriptError(Exception):
    """The file is no script; says where and why."""


def load_script(path: Path) -> Script:
    """The script in a `.json` or (any other name) TOML file. OSError; ScriptError."""
    content = path.read_bytes()
    try:
        data: object = json.loads(content) if path.suffix == ".json" else tomllib.loads(content.decode())
    except ValueError as error:
        raise ScriptError(f"{path}: {error}") from error
    return parse_script(data)


def parse_script(data: object) -> Script:
    """The script in a parsed file. ScriptError."""
    if not isinstance(data, dict) or data.keys() - {"rules"} or not isinstance(data.get("rules", []), list):
        raise ScriptError("a script is a list of tables named rules, and nothing else")
    return Script(tuple(_rule(entry, f"rule {number}") for number, entry in enumerate(data.get("rules", []), 1)))


def _rule(entry: object, where: str) -> Rule:
    if not isinstance(entry, dict) or entry.keys() - _RULE_FIELDS:
        raise ScriptError(f"{where}: a table of {', '.join(sorted(_RULE_FIELDS))} is wanted, not {entry!r}")
    try:
        at = Point(str(entry.get("at")))
    except ValueError:
        raise ScriptError(f"{where}: at is one of {', '.join(Point)}") from None
    steps = entry.get("do", [])
    if not isinstance(steps, list):
        raise ScriptError(f"{where}: do is a list of steps")
    nth = entry.get("nth")
    return Rule(
        at,
        tuple(_step(step, where) for step in steps),
        nth=None if nth is None else _number(nth, f"{where}: nth"),
        octets=_number(entry.get("octets", 0), f"{where}: octets"),
        connections=_numbers(entry.get("connections", []), f"{where}: connections"),
        transactions=_numbers(entry.get("transactions", []), f"{where}: transactions"),
    )


def _step(entry: object, where: str) -> Step:
    if isinstance(entry, str) and entry in _WORDS:
        return _WORDS[entry]
    if isinstance(entry, dict) and len(entry) == 1:
        ((name, value),) = entry.items()
        if name == "reply" and isinstance(value, str):
            return reply(value)
        if name in _OCTETS and isinstance(value, str) and max(value, default="") <= "\xff":
            return _OCTETS[name](value.encode("latin-1"))
        if name in _SECONDS and isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return _SECONDS[name](float(value))
    words, tables = ", ".join(_WORDS), ", ".join(("reply", *_OCTETS, *_SECONDS))
    raise ScriptError(f"{where}: {entry!r} is no step; words are {words}; tables of one entry: {tables}")


def _number(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ScriptError(f"{where}: a whole number is wanted, not {value!r}")
    return value


def _numbers(values: object, where: str) -> tuple[int, ...]:
    if not isinstance(values, list):
        raise ScriptError(f"{where}: a list of whole numbers is wanted, not {values!r}")
    return tuple(_number(value, where) for value in values)
