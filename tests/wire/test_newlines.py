"""Tests of line-ending hygiene, against slow and obvious ways to say the same, over all short bodies in all cuts.

The last word has a receiver that takes each CR, LF and CRLF for a line end: in what leaves here it must see the end of
data where we do, or never.
"""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.wire.data import DataFramer
from smtproxy.wire.newlines import MAX_DOTS, NewlineMode, Newlines
from tests.wire.pieces import PROPERTY, cut, every_cut, octets, one_by_one

NEWLINE = re.compile(rb"\r\n|\r|\n")
NORMALISE, REJECT, PASS = NewlineMode.NORMALISE, NewlineMode.REJECT, NewlineMode.PASS
BODIES = [
    body
    for length in range(7)
    for body in map(b"".join, product((b"\r", b"\n", b".", b"a"), repeat=length))
    if b"\r\n.\r\n" not in b"\r\n" + body + b"\r\n"  # the framer would have ended before
]


def clean(mode: NewlineMode, pieces: list[bytes]) -> tuple[bytes, Newlines]:
    newlines = Newlines(mode)
    out = b"".join([newlines.feed(piece) for piece in pieces])
    return out + newlines.finish(), newlines


def bare_at(body: bytes) -> int:
    """Where the first bare newline stands, -1 if there is none."""
    return next((match.start() for match in NEWLINE.finditer(body) if match[0] != b"\r\n"), -1)


def normalised(body: bytes) -> bytes:
    return b"\r\n".join(b".." if line == b"." else line for line in NEWLINE.split(body))


def dot_line_at(body: bytes) -> int:
    """Where the first newline stands that is bare and touches a line of dots alone, -1 if there is none."""
    begun, before = 0, (0, b"\r\n")
    for match in [*NEWLINE.finditer(body), None]:
        end, newline = (len(body), b"\r\n") if match is None else (match.start(), match[0])
        line = body[begun:end]
        if line and not line.strip(b"."):
            if before[1] != b"\r\n":
                return before[0]
            if newline != b"\r\n":
                return end
        if match is not None:
            begun, before = match.end(), (end, newline)
    return -1


def check(pieces: list[bytes]) -> None:
    """All that must hold of one body, in one cut, in the three modes."""
    body = b"".join(pieces)
    bare, dots = bare_at(body), dot_line_at(body)

    out, newlines = clean(NORMALISE, pieces)
    assert out == normalised(body)
    assert newlines.bare == newlines.normalised == (bare >= 0)
    assert b"." not in NEWLINE.split(out)

    out, newlines = clean(REJECT, pieces)
    assert newlines.bare == (bare >= 0)
    assert not newlines.normalised
    if bare >= 0:
        assert body[:bare].startswith(out)
    else:
        assert out == body

    out, newlines = clean(PASS, pieces)
    assert newlines.bare == (bare >= 0)
    assert newlines.dot_line == (dots >= 0)
    assert not newlines.normalised
    if dots >= 0:
        assert body[:dots].startswith(out)
    else:
        assert out == body
        assert b"." not in NEWLINE.split(out)


def test_all_short_bodies_in_all_cuts() -> None:
    for body in BODIES:
        for pieces in every_cut(body):
            check(pieces)


@PROPERTY
@given(cut(octets().filter(lambda body: b"\r\n.\r\n" not in b"\r\n" + body + b"\r\n")))
def test_all_bodies(pieces: list[bytes]) -> None:
    check(pieces)
    check(one_by_one(b"".join(pieces)))


@PROPERTY
@given(cut(st.lists(st.sampled_from((b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"\0")), max_size=60).map(b"".join)))
def test_nothing_is_smuggled_through_framer_and_newlines(pieces: list[bytes]) -> None:
    """The whole way: the receiver that takes anything for a line end sees the end of data where we do, or never."""
    for mode in (NORMALISE, PASS):
        framer, newlines = DataFramer(), Newlines(mode)
        sent = b""
        for piece in [*pieces, b"\r\n.\r\n"]:
            body, ended, _ = framer.feed(piece)
            sent += newlines.feed(body)
            if ended:
                break
        sent += newlines.finish()
        if not newlines.dot_line:
            sent += framer.terminator
            assert sent.endswith((b"\r\n.\r\n", b".\r\n"))
            assert NEWLINE.split(sent).index(b".") == len(NEWLINE.split(sent)) - 2


@pytest.mark.parametrize("before", [b"\r\n", b"\n", b"\r", b"\n\n", b"\r\r\n", b"\n\r\n", b"\n\r", b"\r\n\r"])
@pytest.mark.parametrize("behind", [b"\r\n", b"\n", b"\r", b"\n\n", b"\r\r\n", b"\n\r\n", b"\r\n\r\n"])
@pytest.mark.parametrize("dots", [b".", b"..", b"...", b". ", b".a", b"\0.", b".\0", b".\n.", b".\n.\r.\n."])
def test_known_attacks(before: bytes, behind: bytes, dots: bytes) -> None:
    attack = b"Subject: x" + before + dots + behind + b"MAIL FROM:<admin@example.org>"
    if b"\r\n.\r\n" not in attack:
        for pieces in every_cut(attack):
            check(pieces)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"a\n.\nb", b"a\r\n..\r\nb"),
        (b"a\n.\n.\n.\n.\nb", b"a\r\n..\r\n..\r\n..\r\n..\r\nb"),  # adjacent ones: a single replace() misses half
        (b".\nb", b"..\r\nb"),
        (b"b\n.", b"b\r\n.."),
        (b"\n", b"\r\n"),
        (b"\r", b"\r\n"),
        (b"\r\r\n", b"\r\n\r\n"),
        (b"a\n..\nb", b"a\r\n..\r\nb"),
        (b"\x80\xff\n\0", b"\x80\xff\r\n\0"),
        (b"a\x0bb\x0cc\x85d\xe2\x80\xa8e\n", b"a\x0bb\x0cc\x85d\xe2\x80\xa8e\r\n"),  # no newlines, whatever str says
    ],
)
def test_normalises(body: bytes, expected: bytes) -> None:
    for pieces in every_cut(body):
        assert clean(NORMALISE, pieces)[0] == expected


def test_large_clean_pieces_are_not_copied() -> None:
    piece = b"a" * 70 + b"\r\n" + b"b" * 60000
    for mode in NewlineMode:
        newlines = Newlines(mode)
        newlines.feed(b"first line")
        assert newlines.feed(piece) is piece


@pytest.mark.parametrize("mode", [REJECT, PASS])
def test_nothing_is_returned_once_it_was_found(mode: NewlineMode) -> None:
    newlines = Newlines(mode)
    assert newlines.feed(b"a\r\nb\n.\nc") == b""
    assert newlines.bare
    assert newlines.dot_line == (mode is PASS)
    assert newlines.feed(b"d\r\n") == b""
    assert newlines.finish() == b""


def test_pass_holds_a_dot_line_until_it_knows() -> None:
    newlines = Newlines(PASS)
    assert newlines.feed(b"a\n") == b"a"
    assert newlines.feed(b"..") == b""
    assert newlines.feed(b".b") == b"\n...b"
    assert newlines.feed(b"\n.") == b""
    assert not newlines.dot_line
    assert newlines.feed(b"\r\n") == b""
    assert newlines.dot_line


def test_pass_bounds_what_it_holds() -> None:
    """Dots without end behind a bare newline count as touched; behind CRLF nothing needs to be held."""
    for pieces in ([b"\n" + b"." * (MAX_DOTS + 1) + b"a"], one_by_one(b"\n" + b"." * (MAX_DOTS + 1) + b"a")):
        out, newlines = clean(PASS, pieces)
        assert (out, newlines.dot_line) == (b"", True)
    for pieces in ([b"\n" + b"." * MAX_DOTS + b"a"], one_by_one(b"\n" + b"." * MAX_DOTS + b"a")):
        out, newlines = clean(PASS, pieces)
        assert (out, newlines.dot_line) == (b"\n" + b"." * MAX_DOTS + b"a", False)
    newlines = Newlines(PASS)
    dots = b"." * 5000
    assert newlines.feed(b"a\r\n" + dots) == b"a\r\n" + dots
    assert newlines.feed(dots) == dots
    assert newlines.feed(b"\n") == b""
    assert newlines.dot_line


@pytest.mark.parametrize("mode", list(NewlineMode))
def test_an_empty_body_stays_empty(mode: NewlineMode) -> None:
    for pieces in ([], [b""], [b"", b""]):
        out, newlines = clean(mode, pieces)
        assert (out, newlines.bare, newlines.dot_line, newlines.normalised) == (b"", False, False, False)
