"""Scripts from files: each kind of rule and step, and a clear message for each mistake."""

import json
import re
from pathlib import Path

import pytest

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
    StopReading,
    Store,
    Tarpit,
)
from smtproxy.sample.script_file import ScriptError, load_script, parse_script

TOML = """
[[rules]]
at = "rcpt"
nth = 2
connections = [1, 3]
do = [{ pause = 3 }, "normal", { reply = "250 2.1.5 stale" }, "close"]

[[rules]]
at = "body"
octets = 100
transactions = [2]
do = [{ say = "4\\u00ff" }, { endless = "x" }, { tarpit = 0.5 }, { idle = 1 }, { drip = 2 },
    "drip", "store", "silence", "stop_reading", "reset"]
"""
RULES = (
    Rule(Point.RCPT, (Pause(3), Normal(), Say(b"250 2.1.5 stale\r\n"), Close()), nth=2, connections=(1, 3)),
    Rule(
        Point.BODY,
        (
            Say(b"4\xff"),
            Endless(b"x"),
            Tarpit(0.5),
            Idle(1),
            Drip(2),
            Drip(),
            Store(),
            Silence(),
            StopReading(),
            Reset(),
        ),
        octets=100,
        transactions=(2,),
    ),
)


def test_toml(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(TOML, encoding="utf-8")
    assert load_script(file) == Script(RULES)


def test_json(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text(json.dumps({"rules": [{"at": "quit", "do": ["reset"]}]}), encoding="utf-8")
    assert load_script(file) == Script((Rule(Point.QUIT, (Reset(),)),))


def test_an_empty_script() -> None:
    assert parse_script({}) == Script()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("mail", "rule 1: a table of at,"),
        ({"at": "mail", "when": 1}, "rule 1: a table of at,"),
        ({"at": "mali"}, "rule 1: at is one of connect,"),
        ({}, "rule 1: at is one of connect,"),
        ({"at": "mail", "do": "close"}, "rule 1: do is a list of steps"),
        ({"at": "mail", "do": ["clsoe"]}, "rule 1: 'clsoe' is no step; words are normal,"),
        ({"at": "mail", "do": ["pause"]}, "rule 1: 'pause' is no step"),
        ({"at": "mail", "do": [{"close": 1}]}, "rule 1: {'close': 1} is no step"),
        ({"at": "mail", "do": [{"pause": -1}]}, "rule 1: {'pause': -1} is no step"),
        ({"at": "mail", "do": [{"pause": True}]}, "rule 1: {'pause': True} is no step"),
        ({"at": "mail", "do": [{"say": "€"}]}, "rule 1: {'say': '€'} is no step"),
        ({"at": "mail", "do": [{"say": "a", "pause": 1}]}, "is no step"),
        ({"at": "mail", "nth": "2"}, "rule 1: nth: a whole number is wanted, not '2'"),
        ({"at": "mail", "octets": True}, "rule 1: octets: a whole number is wanted, not True"),
        ({"at": "mail", "connections": 1}, "rule 1: connections: a list of whole numbers is wanted, not 1"),
        ({"at": "mail", "transactions": [-1]}, "rule 1: transactions: a whole number is wanted, not -1"),
    ],
)
def test_mistakes(rule: object, message: str) -> None:
    with pytest.raises(ScriptError, match=re.escape(message)):
        parse_script({"rules": [rule]})


@pytest.mark.parametrize("data", [[], {"rules": {}}, {"rule": []}, None])
def test_no_script_at_all(data: object) -> None:
    with pytest.raises(ScriptError, match="a script is a list of tables"):
        parse_script(data)


@pytest.mark.parametrize(("name", "content"), [("a.toml", b"rules = ["), ("a.json", b"{"), ("a.toml", b"\xff")])
def test_no_toml_and_no_json(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ScriptError, match=re.escape(str(file))):
        load_script(file)
