"""Tests of the cutting of command lines: endings, limits, bounded memory and time."""

from time import process_time

import pytest
from hypothesis import given

from smtproxy.wire.errors import Fault, PeerError
from smtproxy.wire.lines import LineBuffer
from tests.wire.pieces import PROPERTY, cut, every_cut, octets, one_by_one

LIMIT, ENDLESS = 8, 20


def read(pieces: list[bytes], limit: int = LIMIT, endless: int = ENDLESS) -> tuple[list[bytes | Fault], bytes]:
    """All lines and faults, in order, and what is left."""
    buffer = LineBuffer(limit, endless)
    found: list[bytes | Fault] = []
    for piece in pieces:
        buffer.feed(piece)
        while True:
            try:
                line = buffer.next()
            except PeerError as error:
                found.append(error.fault)
                continue
            if line is None:
                break
            found.append(line)
    return found, buffer.take()


def reference(stream: bytes) -> list[bytes | Fault]:
    *lines, rest = stream.split(b"\n")
    found: list[bytes | Fault] = []
    for line in lines:
        bare = line.removesuffix(b"\r")
        fault = Fault.LINE_ENDLESS if len(line) > ENDLESS else Fault.LINE_TOO_LONG
        found.append(bare if len(bare) <= LIMIT else fault)
    if len(rest) > ENDLESS:
        found.append(Fault.LINE_ENDLESS)
    return found


@pytest.mark.parametrize(
    ("stream", "lines", "rest"),
    [
        (b"", [], b""),
        (b"NOOP", [], b"NOOP"),
        (b"NOOP\r\n", [b"NOOP"], b""),
        (b"NOOP\n", [b"NOOP"], b""),
        (b"\r\n\n", [b"", b""], b""),
        (b"NOOP\r\nQUIT\nx", [b"NOOP", b"QUIT"], b"x"),
        (b"a\rb\r\n", [b"a\rb"], b""),  # a bare CR ends nothing
        (b"a\r\r\n", [b"a\r"], b""),  # one CR belongs to the ending, no more
        (b"a\r", [], b"a\r"),
        (b"a\x0b\x0c\x1c\x85b\n", [b"a\x0b\x0c\x1c\x85b"], b""),  # what str.splitlines takes for line ends
        (b"12345678\r\n", [b"12345678"], b""),
        (b"123456789\r\n", [Fault.LINE_TOO_LONG], b""),
        (b"123456789\nNOOP\n", [Fault.LINE_TOO_LONG, b"NOOP"], b""),
        (b"x" * 20 + b"\nNOOP\n", [Fault.LINE_TOO_LONG, b"NOOP"], b""),
        (b"x" * 21 + b"\nNOOP\n", [Fault.LINE_ENDLESS, b"NOOP"], b""),
        (b"x" * 21, [Fault.LINE_ENDLESS], b""),
        (b"x" * 99 + b"\n" + b"y" * 9 + b"\nz\n", [Fault.LINE_ENDLESS, Fault.LINE_TOO_LONG, b"z"], b""),
    ],
)
def test_lines(stream: bytes, lines: list[bytes | Fault], rest: bytes) -> None:
    for pieces in every_cut(stream):
        found, left = read(pieces)
        assert found == lines
        if len(stream) <= LIMIT:
            assert left == rest


@PROPERTY
@given(cut(octets()))
def test_agrees_with_the_obvious_way(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    assert read(pieces)[0] == reference(stream)
    assert read(one_by_one(stream))[0] == reference(stream)


def test_counts_and_hands_over_what_is_unread() -> None:
    buffer = LineBuffer(LIMIT, ENDLESS)
    buffer.feed(b"DATA\r\nFrom: x\r\n")
    assert len(buffer) == 15
    assert buffer.next() == b"DATA"
    assert len(buffer) == 9
    assert buffer.take() == b"From: x\r\n"
    assert len(buffer) == 0
    assert buffer.next() is None


def test_hands_over_a_part_and_reads_on_behind_it() -> None:
    buffer = LineBuffer(LIMIT, ENDLESS)
    buffer.feed(b"BDAT 4\r\n\n.\r\nNOOP")
    assert buffer.next() == b"BDAT 4"
    assert buffer.take(3) == b"\n.\r"
    assert buffer.take(1) == b"\n"
    assert buffer.take(0) == b""
    assert buffer.next() is None
    buffer.feed(b"\r\n")
    assert buffer.next() == b"NOOP"


def test_begins_anew_after_handing_over() -> None:
    buffer = LineBuffer(LIMIT, ENDLESS)
    buffer.feed(b"x" * 15)
    assert buffer.next() is None
    assert buffer.take() == b""
    buffer.feed(b"NOOP\r\n")
    assert buffer.next() == b"NOOP"


def test_keeps_nothing_of_an_endless_line() -> None:
    buffer = LineBuffer(512, 4096)
    faults = []
    for _ in range(1000):
        buffer.feed(b"x" * 1000)
        try:
            assert buffer.next() is None
        except PeerError as error:
            faults.append(error.fault)
        assert len(buffer) <= 513
    assert faults == [Fault.LINE_ENDLESS]


def test_time_is_linear() -> None:
    """Each of these takes a fraction of a second, or, if anything is scanned or moved twice, minutes."""
    start = process_time()
    drip = LineBuffer(300_000, 300_000)
    for _ in range(300_000):
        drip.feed(b"x")
        drip.next()
    drip.feed(b"\n")
    assert drip.next() == b"x" * 300_000
    flood = LineBuffer(LIMIT, ENDLESS)
    flood.feed(b"\n" * 300_000)
    lines = 0
    while flood.next() is not None:
        lines += 1
    assert lines == 300_000
    assert process_time() - start < 10


def test_the_start_of_a_line_shows_before_it_has_ended() -> None:
    lines = LineBuffer(100, 1000)
    assert not lines.begins(b"\x16\x03")
    lines.feed(b"NOOP\r\n\x16")
    assert lines.begins(b"NO")
    assert lines.next() == b"NOOP"
    assert not lines.begins(b"\x16\x03")
    lines.feed(b"\x03\x01")
    assert lines.begins(b"\x16\x03")
    assert lines.next() is None


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_how_a_line_began_that_was_too_long(pieces: int) -> None:
    buffer = LineBuffer(10, 1000)
    octets = b"  bdat 5         x\r\nNOOP\r\n" + b"y" * 20 + b"\n"
    faults = 0
    began = []
    for at in range(0, len(octets), pieces):
        buffer.feed(octets[at : at + pieces])
        while True:
            try:
                line = buffer.next()
            except PeerError:
                faults += 1
                began.append(buffer.swallowed)
                continue
            if line is None:
                break
            assert line == b"NOOP"
    assert faults == 2
    assert [one[:6] for one in began] == [b"  bdat", b"yyyyyy"]
