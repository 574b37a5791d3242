"""The header block: where it ends, its fields, whom From names, and what a large one costs."""

import time
from datetime import UTC
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.wire.header_block import (
    _PLAIN,
    LONGEST_PARSED,
    MOST_DOMAINS,
    Authors,
    Values,
    _parsed,
    authors,
    empty_line,
    fields,
    halves,
    timestamp,
    values,
)
from tests.wire.pieces import NASTY, PROPERTY, octets


@pytest.mark.parametrize(
    ("message", "block", "body"),
    [
        (b"A: b\r\n\r\nbody", b"A: b\r\n", b"body"),
        (b"A: b\n\nbody", b"A: b\n", b"body"),
        (b"A: b\r\rbody", b"A: b\r", b"body"),
        (b"A: b\r\n\rbody", b"A: b\r\n", b"body"),
        (b"A: b\n\r\nbody", b"A: b\n", b"body"),
        (b"A: b\r\n\r\n", b"A: b\r\n", b""),
        (b"A: b\r\n", b"A: b\r\n", b""),
        (b"\r\nbody", b"", b"body"),
        (b"\n\nbody", b"", b"\nbody"),
        (b"", b"", b""),
    ],
)
def test_halves(message: bytes, block: bytes, body: bytes) -> None:
    end, begin = halves(message)
    assert (message[:end], message[begin:]) == (block, body)


def test_empty_line_from_a_place_on() -> None:
    assert empty_line(b"a\n\nb\r\n\r\n", 3) == 5
    assert empty_line(bytearray(b"a\r\nb")) == -1


def test_fields_as_they_came() -> None:
    block = b"From: a\r\n b\r\nX-y \t:\tc\nno field\r\n: none\r\nSubject:\r\rLast: x y"
    assert list(fields(block)) == [
        (b"From", b" a\r\n b"),
        (b"X-y", b"\tc"),
        (b"Subject", b""),
        (b"Last", b" x y"),
    ]


@pytest.mark.parametrize("piece", [b"a", b"a ", b":", b"\x01", b"a\r\n", b" \r\n", b"a:\r\n\r", b"a\r\n b:"])
def test_lines_that_are_no_fields_take_linear_time(piece: bytes) -> None:
    """A line of 60 KB without a colon stopped a worker that looks at DKIM for 6 s, one of 256 KB for 100 s."""
    begun = time.process_time()
    for _ in fields(b"From: a@b.example\r\n" + piece * (1_000_000 // len(piece))):
        pass
    assert time.process_time() - begun < 2


def test_values_of_some_names() -> None:
    block = b"FROM: a\r\n\tb\r\nX-From: no\r\nSubject: x\r\n From: no\r\nfrom : c\r\nFrom: d\r\n"
    assert values(block, (b"from", b"date"), 2) == {
        b"from": Values(3, (b" a\r\n\tb", b" c")),
        b"date": Values(0, ()),
    }


FROMS = [
    ("a@b.example", ["b.example"], True),
    ("  a@B.Example\t", ["b.example"], True),
    ('"x" <a@b.example>', ["b.example"], True),
    ("x\r\n y <a@b.example>", ["b.example"], True),
    ("John Q. Public <a@b.example>", ["b.example"], True),
    ("a@b.example (a@c.example)", ["b.example"], True),
    ('"a@good.example" <x@evil.example>', ["evil.example"], True),
    ('"a\\" <a@good.example>" <x@evil.example>', ["evil.example"], True),
    ("=?utf-8?Q?a=40good.example?= <x@evil.example>", ["evil.example"], True),
    ("j\u00f6 <a@b\u00fccher.example>", ["xn--bcher-kva.example"], True),
    ("a@b.example, c@d.example", ["b.example", "d.example"], True),
    ("a@b.example, c@B.example", ["b.example"], True),
    ("G: a@b.example, c@d.example;", ["b.example", "d.example"], True),
    ("a@[192.0.2.1]", ["[192.0.2.1]"], True),
    ('"a@good.example"@evil.example', ["evil.example"], True),
    # Readers disagree: all that anybody may see.
    ("a@good.example <x@evil.example>", ["good.example", "evil.example"], False),
    ("<a@good.example> <x@evil.example>", ["good.example", "evil.example"], False),
    ("=?utf-8?Q?a=40good.example=2C?= x@evil.example", ["evil.example"], False),
    ('"unclosed <a@b.example>', ["b.example"], False),
    ("a@b.example (never closed <c@d.example>", ["b.example", "d.example"], False),
    ("a@b@c.example", ["b", "c.example"], False),
    ("a@b.example>", ["b.example"], False),
    ("a@b.example;c@d.example", ["b.example", "d.example"], False),
    ("Foo, Inc. <a@b.example>", ["b.example"], False),
    ("a@b.example\x00", ["b.example"], False),
    ("a@b.example\x07", ["b.example"], False),
    ("a b@c.example", ["c.example"], False),
    # Nobody.
    ("", [], False),
    ("a", [], False),
    ("undisclosed:;", [], False),
    ("=?utf-8?Q?a=40good.example?=", [], False),
    ("<>", [], False),
    ("@", [], False),
]


@pytest.mark.parametrize(("text", "domains", "understood"), FROMS)
def test_from(text: str, domains: list[str], understood: bool) -> None:
    found = authors([text.encode()])
    assert (set(found.domains) >= set(domains), found.understood) == (True, understood)
    if understood:
        assert list(found.domains) == domains


def test_several_from_fields_are_never_understood() -> None:
    assert authors([b"a@b.example", b"c@d.example"]) == Authors(("b.example", "d.example"), understood=False)
    assert authors([b"a@b.example", b"a@b.example"]) == Authors(("b.example",), understood=False)
    assert authors([]) == Authors()


def test_invalid_utf_8_is_read_as_latin_1() -> None:
    assert authors(["j\u00f6 <a@b.example>".encode("latin-1")]).domains == ("b.example",)


def test_many_addresses() -> None:
    many = ", ".join(f"a@b{n}.example" for n in range(MOST_DOMAINS + 1)).encode()
    found = authors([many])
    assert (len(found.domains), found.understood) == (MOST_DOMAINS, False)
    assert not authors([b"a@b.example," + b" " * LONGEST_PARSED + b"c@d.example"]).understood
    assert authors([b"<a@b.example>" + b" " * 1000]).understood


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        (b" Tue, 24 Nov 2026 16:00:00 +0000", 1795536000.0),
        (b"24 Nov 2026 17:00 +0100 (CET)", 1795536000.0),
        (b"Tue, 24 Nov 2026 16:00:00 -0000", 1795536000.0),
        (b"Tue, 24 Nov 2026\r\n 16:00:00 GMT", 1795536000.0),
        (b"", None),
        (b"yesterday", None),
        (b"Tue, 99 Nov 2026 16:00:00 +0000", None),
        (b"Tue, 24 Nov 99999999 16:00:00 +0000", None),
        (b"\xff" * 500, None),
    ],
)
def test_date(date: bytes, seconds: float | None) -> None:
    assert timestamp(date) == seconds


@given(
    st.sampled_from(["", "Tue, "]),
    st.integers(0, 32),
    st.sampled_from(["Jan", "Feb", "Dec", "jan"]),
    st.integers(0, 9999),
    st.tuples(st.integers(0, 24), st.integers(0, 61), st.integers(0, 61)),
    st.sampled_from(["+0000", "-0000", "+1959", "-0530", "+2400", "GMT"]),
    st.sampled_from(["", " (CEST)"]),
)
def test_a_usual_date_is_read_as_the_standard_library_does(
    weekday: str, day: int, month: str, year: int, time: tuple[int, int, int], zone: str, comment: str
) -> None:
    date = f"{weekday}{day} {month} {year:04} {time[0]:02}:{time[1]:02}:{time[2]:02} {zone}{comment}"
    try:
        read = parsedate_to_datetime(date)
        seconds = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        assert timestamp(date.encode()) is None
    else:
        assert timestamp(date.encode()) == seconds


@PROPERTY
@given(octets(), st.lists(st.sampled_from([*NASTY, b"From: ", b"Date: ", b"(", b";", b"=?", b"?Q?"])).map(b"".join))
def test_nothing_raises(one: bytes, other: bytes) -> None:
    for message in (one, other, b"From:" + one + b"\r\nFrom:" + other):
        end, begin = halves(message)
        assert 0 <= end <= begin <= len(message)
        list(fields(message[:end]))
        found = values(message[:end], (b"from", b"date"), 2)
        authors(found[b"from"].first)
        timestamp(one)
        timestamp(other)


@pytest.mark.parametrize(
    "piece",
    [b"a", b"\r\n ", b"\r", b"a:\r\n", b"From: a@b.example\r\n", b" ", b"\r\nfrom", b"from:\r\n ", b":"],
)
def test_forty_megabytes(piece: bytes) -> None:
    """CPU, not time: linear, and bounded where it is not."""
    message = b"From: x@y.example\r\nX:" + piece * (40_000_000 // len(piece)) + b"\r\n\r\nbody"
    begun = time.process_time()
    end, _ = halves(message)
    authors(values(message[:end], (b"from", b"date"), 2)[b"from"].first)
    assert time.process_time() - begun < 8


@pytest.mark.parametrize(
    "piece", [b"(", b'"', b"a,", b"\\", b"<", b"a@", b"a@b,", b"a:", b"=?", b"() ", b"a.", b"=?a?b?c?= "]
)
def test_hostile_from(piece: bytes) -> None:
    begun = time.process_time()
    for length in (LONGEST_PARSED, 1_000_000):
        assert len(authors([piece * (length // len(piece))]).domains) <= MOST_DOMAINS
    assert time.process_time() - begun < 2


_U = "\u00fc"


@pytest.mark.parametrize(
    "value",
    [
        b"(a)" * 680,
        b"a " * 1020,
        b"a@b," * 510,
        "".join(f"<a@{_U}{number}.{'.'.join([_U] * 100)}>," for number in range(150)).encode(),
        "".join(f"<a@{_U * 60}{number}.{'.'.join([_U * 25] * 4)}>," for number in range(150)).encode(),
        f"a@{'.'.join([_U * 20] * 1500)}".encode(),
        b"@[" * 32_000,
    ],
)
def test_three_hostile_froms_are_read_between_two_other_sessions(value: bytes) -> None:
    """They are read on the loop, and held all sessions of the worker for 0.2 s, again and again."""
    begun = time.process_time()
    for _ in range(5):
        assert not authors([value] * 3).understood
        assert not authors([value]).understood
    assert time.process_time() - begun < 0.5


def test_what_is_too_long_for_a_domain_is_none() -> None:
    assert authors([b"a@" + b"b" * 255]) == Authors(("b" * 255,), understood=True)
    assert authors([b"x@c.example, a@" + b"b" * 256]).understood is False
    assert authors(["\u00fc".encode() * 200 + b", a@b.example"]).domains == ("b.example",)


@PROPERTY
@given(
    st.lists(
        st.sampled_from(["a", "Joe", '"', "<", ">", "@", ".", " ", "b.example", ",", "=?utf-8?Q?x?=", "\\", "-"])
    ).map("".join)
)
def test_what_needs_no_parser_is_read_as_the_parser_does(text: str) -> None:
    plain = _PLAIN.fullmatch(text.strip())
    if plain is not None:
        domains, clean = _parsed(text.strip())
        assert (domains, clean) == ((plain[2].lower(),), True)


@pytest.mark.parametrize("text", ['"J. Doe, Dr" <a.b@c.example>', "J Doe <a@b.example>", "<a@b.example>"])
def test_usual_fields_need_no_parser(text: str) -> None:
    plain = _PLAIN.fullmatch(text)
    assert plain is not None
    assert _parsed(text) == ((plain[2],), True)
