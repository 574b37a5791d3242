"""Tests of the look at the header: what it finds, in any newlines and cuts, and what it refuses to keep."""

from time import process_time

import pytest
from hypothesis import given

from smtproxy.wire.header import MAX_MESSAGE_ID, HeaderScan
from tests.wire.pieces import PROPERTY, cut, every_cut, octets, one_by_one

LIMIT = 4096


def scan(pieces: list[bytes], limit: int = LIMIT) -> tuple[str | None, int]:
    header = HeaderScan(limit)
    for piece in pieces:
        header.feed(piece)
    header.finish()
    assert header.complete
    return header.message_id, header.received


@pytest.mark.parametrize(
    ("header", "message_id", "received"),
    [
        (b"", None, 0),
        (b"Subject: x", None, 0),
        (b"Message-ID: <a@b>", "<a@b>", 0),
        (b"message-id:<a@b>\nX: y", "<a@b>", 0),
        (b"MESSAGE-ID : <a@b>", "<a@b>", 0),
        (b"Message-ID:\n <a@b>\nX: y", "<a@b>", 0),
        (b"Message-ID:\n\t<a\n @b>", "<a @b>", 0),
        (b"Message-ID:\nX: y", None, 0),
        (b"Message-ID: <a@b>\nMessage-ID: <c@d>", "<a@b>", 0),
        (b"X-Message-ID: <a@b>\nMessage-ID-X: <c@d>\nMessage-ID: <e@f>", "<e@f>", 0),
        (b"X: y\n Message-ID: <a@b>", None, 0),
        (b"Message-ID: a\x1b[0m\0\x7fb\xff\xc2\x85", "a\ufffd[0m\ufffd\ufffdb\ufffd", 0),
        (b"Message-ID: " + b"x" * 2000, "x" * MAX_MESSAGE_ID, 0),
        (b"Received: a\nRECEIVED: b\nX: y\nreceived: c", None, 3),
        (b"Received : a\nReceived\t: b\nReceived: c", None, 3),
        (b"Received-SPF: a\nX-Received: b\nReceivedx: c\nX: y\n Received: d\nReceived", None, 0),
        (b"Received: a\n by b\n\tReceived: c", None, 1),
    ],
)
@pytest.mark.parametrize("newline", [b"\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("body", [b"", b"\n\nReceived: in the body\nMessage-ID: <body@b>\n"])
def test_finds(header: bytes, message_id: str | None, received: int, newline: bytes, body: bytes) -> None:
    message = (header + body).replace(b"\n", newline) if header or body else b""
    for pieces in every_cut(message) if len(message) < 200 else ([message], one_by_one(message)):
        assert scan(pieces) == (message_id, received)


@pytest.mark.parametrize("first", [b"\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("second", [b"\r\n", b"\n", b"\r"])
def test_any_empty_line_ends_the_header(first: bytes, second: bytes) -> None:
    if first + second == b"\r\n":
        return
    header = HeaderScan(LIMIT)
    header.feed(b"Received: a" + first + second + b"Received: b")
    assert header.complete
    assert header.received == 1


def test_ends_with_the_first_empty_line_of_several_kinds() -> None:
    for text in (b"A: b\n\nReceived: c\r\n\r\n", b"A: b\r\rReceived: c\n\n", b"A: b\r\n\r\nReceived: c\n\nx\r\r"):
        for pieces in every_cut(text):
            assert scan(pieces) == (None, 0)


@pytest.mark.parametrize("newline", [b"\r\n", b"\n", b"\r"])
def test_a_body_may_have_no_header(newline: bytes) -> None:
    for pieces in every_cut(newline + b"Received: a" + newline + b"Message-ID: <a@b>" + newline * 2):
        assert scan(pieces) == (None, 0)


def test_is_complete_as_soon_as_the_header_ends() -> None:
    header = HeaderScan(LIMIT)
    header.feed(b"Received: a\r\nMessage-ID: <a@b>\r\n")
    before = header.complete
    header.feed(b"\r\n")
    assert (before, header.complete) == (False, True)
    assert (header.message_id, header.received) == ("<a@b>", 1)
    header.feed(b"Received: b\r\n")
    header.finish()
    assert header.received == 1


def test_looks_at_no_more_than_the_limit() -> None:
    text = b"Received: a\r\n" * 3 + b"Message-ID: <a@b>\r\n"
    for limit, expected in (
        (1000, ("<a@b>", 3)),
        (len(text) - 4, (None, 3)),
        (13, (None, 1)),
        (12, (None, 0)),  # a line that may be cut does not count
        (5, (None, 0)),
    ):
        assert scan([text], limit) == expected
        assert scan(one_by_one(text), limit) == expected
    header = HeaderScan(100)
    for _ in range(100):
        header.feed(b"x" * 99 + b"\n")
        assert len(header._buffer) <= 100
    assert header.complete


@PROPERTY
@given(cut(octets()))
def test_any_octets_in_any_cuts(pieces: list[bytes]) -> None:
    text = b"Message-ID: " + b"".join(pieces)
    message_id, received = scan([b"Message-ID: ", *pieces], 60)
    assert scan([text], 60) == scan(one_by_one(text), 60) == (message_id, received)
    assert message_id is None or message_id.isprintable() or "\ufffd" in message_id or not message_id.isascii()


def test_time_is_linear() -> None:
    start = process_time()
    for text in (b"Received", b"Message-ID ", b"Message-ID:\n \n ", b"\nmessage-id", b"Received \t ", b"A:b\r\n"):
        scan([text * (400_000 // len(text))], 400_000)
    scan(one_by_one(b"A: b\r\n" * 20_000), 400_000)
    assert process_time() - start < 10
