"""One valid JSON object a line, whatever the fields are."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from uuid import UUID

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smtproxy.app.log.json_lines import ALLOWANCES, EVENT, LINE, JsonLines, Stamp
from smtproxy.app.log.values import CUT, ELEMENTS, TEXT, bounded_fields
from tests.app.log.strategies import ANY_FIELDS, ANY_TEXT, Colour, Fact
from tests.app.log.test_values import walk

AT = 1_795_493_804_123_456_789
TIME = "2026-11-24T04:16:44.123456Z"
LINES = JsonLines(Stamp(lambda: AT))
HEAD = b'{"time":"2026-11-24T04:16:44.123456Z","event":"commit","level":"info"'


def fields_of(line: bytes) -> dict[str, object]:
    """The fields of a line behind the first three, which are checked."""
    assert line.endswith(b"\n")
    assert not re.search(rb"[\x00-\x1f\x7f]", line[:-1])
    out = orjson.loads(line)
    assert isinstance(out, dict)
    assert list(out)[:3] == ["time", "event", "level"]
    assert out.pop("time") == TIME
    del out["event"], out["level"]
    return out


def render(fields: Mapping[str, object]) -> dict[str, object]:
    line = LINES.render("commit", "info", fields)
    assert line.startswith(HEAD)
    return fields_of(line)


def test_a_line_to_the_octet() -> None:
    fields = {"session": "a.1", "size": 4213, "queued": None, "reply": '250 "ok"'}
    line = LINES.render("commit", "info", fields)
    assert line == HEAD + b',"session":"a.1","size":4213,"queued":null,"reply":"250 \\"ok\\""}\n'
    assert LINES.queued(line) == line[:-2] + b',"queued":true}\n'


def test_no_fields() -> None:
    assert LINES.render("commit", "info", {}) == HEAD + b"}\n"
    assert LINES.queued(HEAD + b"}\n") == HEAD + b',"queued":true}\n'


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (999, "1970-01-01T00:00:00.000000Z"),
        (1_000_001_999, "1970-01-01T00:00:01.000001Z"),
        (AT, TIME),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_time(nanoseconds: int, expected: str) -> None:
    assert Stamp(lambda: nanoseconds)() == expected


def test_time_goes_on_and_back() -> None:
    times = iter([AT, AT + 1_000_000_000, AT + 1_000_001_000, AT])
    stamp = Stamp(lambda: next(times))
    assert [stamp()[17:] for _ in range(4)] == ["44.123456Z", "45.123456Z", "45.123457Z", "44.123456Z"]


def test_an_event_of_no_list() -> None:
    line = LINES.render("odd\n" * 100, "warning", {"a": 1})
    assert orjson.loads(line)["event"] == ("odd\\x0a" * 100)[:EVENT] + CUT
    assert fields_of(line) == {"a": 1}


def test_what_stands_in_front_cannot_be_forged() -> None:
    assert render({"time": "t", "event": "message", "level": "error", "a": 1}) == {
        "time_": "t",
        "event_": "message",
        "level_": "error",
        "a": 1,
    }


@pytest.mark.parametrize("value", ["a\nb", "a\x1bb", "a\x7fb", "a\x9bb", "a\u202eb", "a\\\nb", '"\n'])
def test_controls_are_escaped_visibly(value: str) -> None:
    (out,) = render({"a": value}).values()
    assert isinstance(out, str)
    assert out.isprintable()


@pytest.mark.parametrize("value", ["x" * TEXT, "a\\b", 'say "x"', "ü" * 500, '"' * 400, "\\" * 400])
def test_harmless_strings_stay(value: str) -> None:
    assert render({"a": value, "b": [value]}) == {"a": value, "b": [value]}


@pytest.mark.parametrize("value", ["x" * (TEXT + 1), '"' * (TEXT + 1), "x" * TEXT + '"', '"' * 500 + "y" * 501])
def test_long_strings_are_cut(value: str) -> None:
    expected = value[:TEXT] + CUT
    assert render({"a": value, "b": [{"c": value}]}) == {"a": expected, "b": [{"c": expected}]}


def test_long_lists_are_cut() -> None:
    assert render({"a": list(range(ELEMENTS))}) == {"a": list(range(ELEMENTS))}
    assert render({"a": {"b": [0] * (ELEMENTS + 1)}}) == {"a": {"b": [*[0] * ELEMENTS, "...[cut 1 more]"]}}


def test_both_ways_give_the_same() -> None:
    fields: dict[str, object] = {
        "fact": Fact(("a", 1.5)),
        "tuple": (1, None, True),
        "enum": Colour.RED,
        "uuid": UUID(int=7),
        "at": datetime(2026, 11, 24, 4, 16, 44, 5, tzinfo=UTC),
    }
    assert render(fields) == orjson.loads(orjson.dumps(fields)) == bounded_fields(fields, ALLOWANCES[0])
    assert render({**fields, "bytes": b"x"}) == bounded_fields({**fields, "bytes": b"x"}, ALLOWANCES[0])
    assert render(MappingProxyType(fields)) == render(fields)


def test_the_work_is_bounded_however_large_the_fields_are() -> None:
    looked = []

    class Element:
        def __repr__(self) -> str:
            looked.append(1)
            return "e"

    render({"a": [[Element()] * 1000] * 1000, "b": Element()})
    assert len(looked) < 3 * ALLOWANCES[0]


def test_a_line_is_bounded_and_keeps_its_small_fields() -> None:
    recipients = [{"to": "x" * 500, "reply": "y" * 900, "by": "backend"}] * 1000
    out = render({"recipients": recipients, **{f"f{n}": ["z" * 900] * 90 for n in range(6)}, "outcome": "delivered"})
    assert out["outcome"] == "delivered"
    assert isinstance(out["recipients"], list)
    assert out["recipients"][0] == recipients[0]


def test_a_line_of_harmless_fields_is_bounded_too() -> None:
    fields = {f"f{number}": "x" * TEXT for number in range(ELEMENTS - 1)}
    line = LINES.render("commit", "info", fields)
    assert len(line) <= LINE
    assert list(fields_of(line)) == list(fields)


def test_a_line_that_cannot_be_saved_still_tells_its_event() -> None:
    assert render({f"{n:03d}" + '"' * 200: '"' * 900 for n in range(100)}) == {"fields_cut": 100}


@settings(deadline=None, max_examples=50)
@given(ANY_FIELDS)
@example({"a": [["x" * 1000] * 100] * 100})
def test_any_fields_give_one_valid_line(fields: Mapping[str, object]) -> None:
    line = LINES.render("commit", "info", fields)
    for one in (line, LINES.queued(line)):
        assert len(one) <= LINE
        out = fields_of(one)
        walk(out)
    assert {**fields_of(line), "queued": True} == fields_of(LINES.queued(line))


@settings(deadline=None)
@given(ANY_TEXT, st.sampled_from(["info", "debug", "odd"]))
def test_any_event_does(event: str, level: str) -> None:
    walk(fields_of(LINES.render(event, level, {})))
