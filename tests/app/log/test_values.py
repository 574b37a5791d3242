"""Anything becomes plain, bounded and free of control characters."""

import ipaddress
import sys
from collections import deque
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType, TracebackType
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtproxy.app.log.values import (
    CONTROL,
    CUT,
    DEPTH,
    ELEMENTS,
    KEY,
    TEXT,
    Allowance,
    Plain,
    bounded,
    bounded_fields,
    text,
)
from tests.app.log.strategies import ANY_FIELDS, ANY_TEXT, ANYTHING, Colour, Fact, Hostile, HostileMapping


def plain(value: object, octets: int = 100000) -> Plain:
    return bounded(value, Allowance(octets))


class Text(StrEnum):
    A = "a"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (0, 0),
        (-(2**63), -(2**63)),
        (2**64 - 1, 2**64 - 1),
        (2**64, str(2**64)),
        pytest.param(10**5000, "<int>", id="huge"),
        (1.5, 1.5),
        ("a", "a"),
        ("größe 漢", "größe 漢"),
        (b"abc", "abc"),
        (b"\xff\r\n", "\\xff\\x0d\\x0a"),
        (bytearray(b"x"), "x"),
        (Text.A, "a"),
        (Colour.ODD, "\\x00\\xff"),
        ((1, "a"), [1, "a"]),
        ({3}, [3]),
        (frozenset({3}), [3]),
        (deque([1]), [1]),
        ({"a": {"b": b"c"}}, {"a": {"b": "c"}}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ({1: 2, b"k": 3}, {"1": 2, "b'k'": 3}),
        (Fact(b"x"), {"value": "x"}),
        (Fact, repr(Fact)),
        (ValueError("bad\n"), "ValueError: bad\\x0a"),
        (datetime(2026, 11, 24, 4, 16, 44, 5), "2026-11-24T04:16:44.000005"),  # noqa: DTZ001 - naive ones are logged too
        (date(2026, 11, 24), "2026-11-24"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ipaddress.ip_address("192.0.2.1"), "192.0.2.1"),
        (ipaddress.ip_network("2001:db8::/32"), "2001:db8::/32"),
        (PurePosixPath("/etc/x"), "/etc/x"),
        (Hostile(), "<Hostile>"),
        (HostileMapping(), "<HostileMapping>"),
        (range(3), "range(0, 3)"),
    ],
)
def test_values(value: object, expected: Plain) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


@pytest.mark.parametrize(
    "bad",
    [
        "\x00",
        "\x1b",
        "\n",
        "\x7f",
        "\x85",
        "\x9b",
        "\u2028",
        "\u2029",
        "\u202e",
        "\u2066",
        "\u2069",
        "\ufeff",
        "\ud800",
    ],
)
def test_controls_become_visible(bad: str) -> None:
    code = ord(bad)
    assert text(f"a{bad}b") == (f"a\\x{code:02x}b" if code < 256 else f"a\\u{code:04x}b")


@pytest.mark.parametrize("good", [" ", "~", "\xa0", "ä", "漢", "\u200b", "😀"])
def test_others_stay(good: str) -> None:
    assert text(f"a{good}b\t") == f"a{good}b\\x09"


class TestBounds:
    def test_strings(self) -> None:
        assert text("x" * TEXT) == "x" * TEXT
        assert text("x" * (TEXT + 1)) == "x" * TEXT + CUT
        assert plain(b"x" * TEXT) == "x" * TEXT
        assert plain(b"x" * (TEXT + 1)) == "x" * TEXT + CUT

    def test_strings_are_measured_in_octets_and_cut_between_characters(self) -> None:
        assert text("漢" * 333) == "漢" * 333
        assert text("漢" * 334) == "漢" * 333 + CUT

    def test_lists(self) -> None:
        assert plain(list(range(ELEMENTS))) == list(range(ELEMENTS))
        assert plain(list(range(ELEMENTS + 7))) == [*range(ELEMENTS), "...[cut 7 more]"]

    def test_objects(self) -> None:
        names = [f"n{number}" for number in range(ELEMENTS + 7)]
        assert plain(dict.fromkeys(names, 1)) == {**dict.fromkeys(names[:ELEMENTS], 1), CUT: 7}
        assert plain({"x" * (KEY + 1): 1}) == {"x" * KEY + CUT: 1}

    def test_depth_and_cycles(self) -> None:
        cycle: list[object] = []
        cycle.append(cycle)
        assert orjson.dumps(plain(cycle)) == b"[" * DEPTH + b'"%b"' % CUT.encode() + b"]" * DEPTH

    def test_a_tree_that_explodes(self) -> None:
        tree: object = "leaf"
        for _ in range(DEPTH - 1):
            tree = [tree] * ELEMENTS
        assert len(orjson.dumps(plain(tree, 5000))) < 10000

    def test_what_is_cut_is_not_looked_at(self) -> None:
        looked = []

        class Element:
            def __repr__(self) -> str:
                looked.append(1)
                return "e"

        plain([Element()] * 1000000)
        assert len(looked) == ELEMENTS

    @pytest.mark.parametrize("value", [1, None, 1.5, "x", [], {}, b"x"])
    def test_nothing_is_left(self, value: object) -> None:
        assert plain(value, 0) == CUT

    def test_fields_share_nothing(self) -> None:
        big: object = ["x" * 100] * 100
        assert bounded_fields({"big": big, "small": "s"}, 500)["small"] == "s"

    def test_many_fields(self) -> None:
        out = bounded_fields({f"n{number}": 1 for number in range(ELEMENTS + 3)}, 100)
        assert len(out) == ELEMENTS + 1
        assert out["fields_cut"] == 3


def test_a_traceback_names_the_innermost_place_first_and_shows_no_source() -> None:
    def inner(depth: int) -> None:
        if depth == 0:
            raise ValueError("secret")
        inner(depth - 1)

    where: TracebackType | None = None
    try:
        inner(30)
    except ValueError:
        where = sys.exc_info()[2]
    out = plain(where)
    assert isinstance(out, list)
    assert len(out) == 20
    line = inner.__code__.co_firstlineno
    assert out[:2] == [f"test_values.py:{line + 2} inner", f"test_values.py:{line + 3} inner"]


def walk(value: object) -> None:
    match value:
        case dict():
            assert len(value) <= ELEMENTS + 1
            for key, inner in value.items():
                walk(key)
                walk(inner)
        case list():
            assert len(value) <= ELEMENTS + 1
            for inner in value:
                walk(inner)
        case str():
            assert not CONTROL.search(value)
            assert len(value.encode()) <= TEXT + len(CUT)
        case _:
            assert value is None or type(value) in (bool, int, float)


@settings(deadline=None)
@given(ANYTHING, st.integers(-1, 20000))
def test_anything_becomes_plain(value: object, octets: int) -> None:
    out = plain(value, octets)
    walk(out)
    orjson.dumps(out)


@settings(deadline=None, max_examples=50)
@given(ANY_FIELDS)
def test_any_fields_do(fields: Mapping[str, object]) -> None:
    walk(bounded_fields(fields, 2048))


@settings(deadline=None)
@given(ANY_TEXT)
def test_text_without_controls_is_not_changed(value: str) -> None:
    if not CONTROL.search(value) and len(value.encode()) <= TEXT:
        assert text(value) == value
    else:
        assert text(value) != value
