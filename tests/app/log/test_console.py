"""Lines for a human: the message line tells its story in its first words, and no peer can drive the terminal."""

import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings

from smtproxy.app.log.console import ConsoleLines
from smtproxy.app.log.json_lines import LINE, Stamp
from smtproxy.app.log.values import CUT
from tests.app.log.strategies import ANY_FIELDS, ANY_TEXT

STAMP = Stamp(lambda: 1_795_493_804_123_456_789)
PLAIN = ConsoleLines(STAMP, colours=False)
COLOURED = ConsoleLines(STAMP, colours=True)
TIME = "2026-11-24T04:16:44.123456Z"

MESSAGE: dict[str, object] = {
    "session": "s",
    "sender": "a@example.com",
    "recipients": [{"to": "b@example.org", "reply": "250 2.1.5 ok", "by": "backend"}],
    "recipients_total": 1,
    "size": 4213,
    "outcome": "delivered",
    "reply": "250 2.6.0 Queued mail",
    "findings": [],
    "client_heard": True,
}


def tell(**changes: object) -> str:
    return PLAIN.render("message", "info", MESSAGE | changes).decode()


def test_a_message_line() -> None:
    assert tell() == (
        f"{TIME} info    message      delivered <a@example.com> -> <b@example.org> 4.1 KiB"
        ' "250 2.6.0 Queued mail" session=s client_heard=true\n'
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sender": ""}, "delivered <> -> <b@example.org> 4.1 KiB"),
        ({"outcome": "unknown"}, "unknown   <a@example.com> ->"),
        ({"outcome": None}, "None      <a@example.com> ->"),
        ({"size": 0}, "<b@example.org> 0 octets "),
        ({"size": 1023}, " 1023 octets "),
        ({"size": 1024}, " 1.0 KiB "),
        ({"size": 52_428_800}, " 50.0 MiB "),
        ({"size": None}, '<b@example.org> "250 2.6.0'),
        ({"recipients": []}, "-> nobody 4.1 KiB"),
        ({"recipients": None}, "-> nobody 4.1 KiB"),
        ({"recipients": ["b"]}, "-> <b> 4.1 KiB"),
        ({"recipients_total": 8}, "-> <b@example.org> and 7 more 4.1 KiB"),
        (
            {"recipients": [{"to": "b", "reply": "550 5.1.1 who?"}, {"to": "c", "reply": None}], "recipients_total": 2},
            "-> <b> (550 5.1.1 who?), <c> 4.1 KiB",
        ),
        ({"recipients": ["a", "b", "c", "d"], "recipients_total": None}, "-> <a>, <b>, <c> and 1 more 4.1 KiB"),
        ({"reply": None}, "4.1 KiB session=s"),
        ({"reply": 'say "x"'}, '4.1 KiB "say \\"x\\"" session=s'),
        ({"findings": [{"check": "hello"}]}, ' findings=[{"check":"hello"}] '),
        ({"hello": "two words"}, ' hello="two words"'),
        ({"hello": "a=b"}, ' hello="a=b"'),
        ({"hello": "\x1b[31mred"}, " hello=\\x1b[31mred"),
        ({"duration": 0.1234567}, " duration=0.123"),
        ({"duration": float("nan")}, " duration=nan"),
    ],
)
def test_message_lines(changes: Mapping[str, object], expected: str) -> None:
    assert expected in tell(**changes)


def test_a_message_without_fields() -> None:
    assert PLAIN.render("message", "info", {}).decode() == f"{TIME} info    message      ?         <> -> nobody\n"


def test_other_lines_are_aligned() -> None:
    lines = [
        PLAIN.render("listening", "info", {"address": "127.0.0.1:25"}),
        PLAIN.render("backend_down", "warning", {"server": "127.0.0.1:26", "reply": None}),
        PLAIN.render("crash", "error", {}),
    ]
    assert [line.decode()[len(TIME) :] for line in lines] == [
        " info    listening    address=127.0.0.1:25\n",
        " warning backend_down server=127.0.0.1:26\n",
        " error   crash       \n",
    ]


def test_a_commit_line_that_waited() -> None:
    assert PLAIN.queued(b"x a=1\n") == b"x a=1 queued=true\n"


class TestColours:
    def test_only_where_they_are_wanted(self) -> None:
        assert b"\x1b" not in PLAIN.render("message", "error", MESSAGE)
        assert b"\x1b" in COLOURED.render("message", "error", MESSAGE)

    @pytest.mark.parametrize(
        ("outcome", "colour"), [("delivered", 32), ("rejected", 31), ("deferred", 33), ("unknown", 35)]
    )
    def test_the_outcome_shows(self, outcome: str, colour: int) -> None:
        line = COLOURED.render("message", "info", MESSAGE | {"outcome": outcome}).decode()
        assert f"\x1b[{colour}m{outcome.ljust(9)}\x1b[0m <a@example.com>" in line

    def test_the_level_shows(self) -> None:
        assert b"\x1b[31merror  \x1b[0m crash" in COLOURED.render("crash", "error", {})

    def test_without_them_the_line_is_the_same(self) -> None:
        line = COLOURED.render("message", "error", MESSAGE)
        assert re.sub(rb"\x1b\[\d+m", b"", line) == PLAIN.render("message", "error", MESSAGE)


@pytest.mark.parametrize("lines", [PLAIN, COLOURED])
def test_a_line_is_bounded(lines: ConsoleLines) -> None:
    line = lines.render("crash", "error", {f"f{number}": "ü" * 500 for number in range(90)})
    assert LINE - 100 < len(line) <= LINE
    assert CUT in line.decode()
    assert line.endswith(b"\x1b[0m\n" if lines is COLOURED else b"]\n")


@settings(deadline=None, max_examples=50)
@given(ANY_FIELDS, ANY_TEXT)
def test_any_fields_give_one_line_without_controls(fields: Mapping[str, object], level: str) -> None:
    for event in ("message", "session", level):
        line = PLAIN.render(event, level, fields)
        assert len(PLAIN.queued(line)) <= LINE
        words = line.decode()
        assert words.endswith("\n")
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", words[:-1])
        coloured = COLOURED.render(event, level, fields).decode()
        assert re.sub(r"\x1b\[\d+m", "", coloured) == words
