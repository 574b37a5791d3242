"""Tests of the end of data: CRLF.CRLF and nothing else, in all cuts."""

from itertools import product

import pytest
from hypothesis import given

from smtproxy.wire.data import DataFramer
from tests.wire.pieces import PROPERTY, cut, every_cut, octets, one_by_one

END = b"\r\n.\r\n"


def frame(pieces: list[bytes]) -> tuple[bytes, bool, bytes, bytes]:
    """Body, whether it ended, rest, terminator."""
    framer = DataFramer()
    body, rest, ended = b"", b"", False
    for piece in pieces:
        before = ended
        part, ended, behind = framer.feed(piece)
        assert not (before and part)
        body += part
        rest += behind
        assert ended or not behind
    return body, ended, rest, framer.terminator


def reference(stream: bytes) -> tuple[bytes, bool, bytes, bytes]:
    """The same by one search; a body that has not ended lacks the longest tail with which the end may begin."""
    window = b"\r\n" + stream
    at = window.find(END)
    if at == 0:
        return b"", True, stream[3:], b".\r\n"
    if at > 0:
        return window[2:at], True, window[at + 5 :], END
    for length in (4, 3, 2, 1):
        if window.endswith(END[:length]):
            return window[2 : max(2, len(window) - length)], False, b"", b""
    return stream, False, b"", b""


@pytest.mark.parametrize(
    ("stream", "body", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"\r\n.\r\n", b"", b""),
        (b"\r\n\r\n.\r\n", b"\r\n", b""),
        (b"a\r\n.\r\nQUIT\r\n", b"a", b"QUIT\r\n"),
        (b"a\r\n..\r\n.\r\n", b"a\r\n..", b""),  # dot-stuffing stays
        (b"a.\r\n.\r\n.\r\n", b"a.", b".\r\n"),
        (b"a\r\n.\r\r\n.\r\n", b"a\r\n.\r", b""),
        (b"a\r\n.\r\n.\r\n", b"a", b".\r\n"),
    ],
)
def test_ends(stream: bytes, body: bytes, rest: bytes) -> None:
    for pieces in every_cut(stream):
        assert frame(pieces)[:3] == (body, True, rest)


@pytest.mark.parametrize("before", [b"\n", b"\r", b"\r\r", b"\n\n", b"\0\r\n\0", b"\r\n ", b"\n\r"])
@pytest.mark.parametrize("behind", [b"\n", b"\r", b"\r\r", b"\r\n", b"\0\r\n", b" \r\n", b"\n\r"])
def test_a_bare_newline_ends_nothing(before: bytes, behind: bytes) -> None:
    stream = b"a" + before + b"." + behind + b"MAIL FROM:<a@b>\r\n"
    for pieces in every_cut(stream):
        assert not frame(pieces)[1]
    for pieces in every_cut(b"a\r\n." + behind.replace(b"\r\n", b"\n") + b"b"):
        assert not frame(pieces)[1]


def test_agrees_with_one_search_on_all_short_streams() -> None:
    for length in range(7):
        for characters in product((b"\r", b"\n", b".", b"a"), repeat=length):
            stream = b"".join(characters)
            expected = reference(stream)
            for pieces in every_cut(stream):
                assert frame(pieces) == expected, pieces


@PROPERTY
@given(cut(octets()))
def test_agrees_with_one_search(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    assert frame(pieces) == reference(stream)
    assert frame(one_by_one(stream)) == reference(stream)


@PROPERTY
@given(cut(octets()))
def test_loses_and_adds_nothing(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    body, _, rest, terminator = frame([*pieces, b"\r\n.\r\n"])
    assert body + terminator + rest == stream + b"\r\n.\r\n"


def test_behind_the_end_all_is_rest() -> None:
    framer = DataFramer()
    assert framer.feed(b"a\r\n.\r\nNOOP\r\n") == (b"a", True, b"NOOP\r\n")
    assert framer.feed(b"\r\n.\r\n") == (b"", True, b"\r\n.\r\n")
    assert framer.terminator == END


def test_holds_back_at_most_four_octets() -> None:
    framer = DataFramer()
    framer.feed(b"a" * 1000 + b"\r\n.\r")
    assert framer.feed(b"b") == (b"\r\n.\rb", False, b"")
