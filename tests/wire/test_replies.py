"""Tests of replies: all spellings of real servers are read, nothing else is, and one reply never becomes two."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.wire.errors import Fault, PeerError
from smtproxy.wire.replies import MAX_LINE, MAX_LINES, Reply, ReplyReader
from tests.wire.pieces import PROPERTY, cut, every_cut, octets, one_by_one


def read(pieces: list[bytes]) -> tuple[list[Reply | Fault], bool]:
    """All replies, and the fault that ended them; whether something is left."""
    reader = ReplyReader()
    found: list[Reply | Fault] = []
    for piece in pieces:
        reader.feed(piece)
        try:
            while (reply := reader.next()) is not None:
                found.append(reply)
        except PeerError as error:
            return [*found, error.fault], reader.partial
    return found, reader.partial


@pytest.mark.parametrize(
    ("stream", "replies"),
    [
        (b"250 2.1.5 Recipient OK\r\n", [Reply(250, (b"2.1.5 Recipient OK",))]),
        (b"250-a\r\n250-\r\n250 c\r\n", [Reply(250, (b"a", b"", b"c"))]),
        (b"250\r\n", [Reply(250, (b"",))]),
        (b"250 \r\n", [Reply(250, (b"",))]),
        (b"250-\r\n250\r\n", [Reply(250, (b"", b""))]),
        (b"250text\r\n", [Reply(250, (b"text",))]),
        (b"250-a\n250 b\n", [Reply(250, (b"a", b"b"))]),
        (b"250\n", [Reply(250, (b"",))]),
        (b"250  two blanks \r\n", [Reply(250, (b" two blanks ",))]),
        (b"250\ttab\r\n", [Reply(250, (b"\ttab",))]),
        (b"354 go\r\n250 done\r\n221 bye\r\n", [Reply(354, (b"go",)), Reply(250, (b"done",)), Reply(221, (b"bye",))]),
        (b"250 a\rb\r\n", [Reply(250, (b"a b",))]),
        (b"250 a\r\r\n", [Reply(250, (b"a ",))]),
        (b"250 \xff\x1b\x08\r\n", [Reply(250, (b"\xff\x1b\x08",))]),
        (b"250 a\rb\r550 c\r\n", [Reply(250, (b"a b 550 c",))]),
        (b"599 x\r\n", [Reply(599, (b"x",))]),
        (b"250-" + b"x" * (MAX_LINE - 4) + b"\r\n250 y\r\n", [Reply(250, (b"x" * (MAX_LINE - 4), b"y"))]),
    ],
)
def test_replies(stream: bytes, replies: list[Reply]) -> None:
    for pieces in every_cut(stream) if len(stream) < 100 else ([stream], one_by_one(stream)):
        assert read(pieces) == (replies, False)


@pytest.mark.parametrize(
    ("stream", "fault"),
    [
        (b"\r\n", Fault.BAD_REPLY),
        (b"OK\r\n", Fault.BAD_REPLY),
        (b" 250 OK\r\n", Fault.BAD_REPLY),
        (b"25 OK\r\n", Fault.BAD_REPLY),
        (b"2500 OK\r\n", Fault.BAD_REPLY),
        (b"150 OK\r\n", Fault.BAD_REPLY),
        (b"600 OK\r\n", Fault.BAD_REPLY),
        (b"25\xb2 OK\r\n", Fault.BAD_REPLY),
        ("25٣ OK\r\n".encode(), Fault.BAD_REPLY),  # a digit, says str.isdigit()
        (b"250 O\0K\r\n", Fault.BAD_REPLY),
        (b"250-a\r\n550 b\r\n", Fault.BAD_REPLY),
        (b"250-a\r\n\r\n", Fault.BAD_REPLY),
        (b"250-a\r\nb\r\n250 c\r\n", Fault.BAD_REPLY),
        (b"250 " + b"x" * (MAX_LINE - 3) + b"\r\n", Fault.REPLY_TOO_LONG),
        (b"x" * (MAX_LINE + 2), Fault.REPLY_TOO_LONG),
        (b"250-\r\n" * (MAX_LINES + 1), Fault.REPLY_TOO_LONG),
        ((b"250-" + b"x" * 4000 + b"\r\n") * 9, Fault.REPLY_TOO_LONG),
    ],
)
def test_what_is_no_reply(stream: bytes, fault: Fault) -> None:
    for pieces in every_cut(stream) if len(stream) < 100 else ([stream], one_by_one(stream)):
        assert read(pieces) == ([fault], True)


def test_as_many_lines_as_are_allowed() -> None:
    stream = b"250-x\r\n" * (MAX_LINES - 1) + b"250 x\r\n"
    assert read([stream]) == ([Reply(250, (b"x",) * MAX_LINES)], False)


def test_what_came_before_the_fault_counts() -> None:
    assert read([b"250 a\r\nOK\r\n250 b\r\n"]) == ([Reply(250, (b"a",)), Fault.BAD_REPLY], True)


def test_a_dead_reader_stays_dead_and_keeps_nothing() -> None:
    reader = ReplyReader()
    reader.feed(b"garbage\r\n250 OK\r\n")
    for _ in range(3):
        with pytest.raises(PeerError) as caught:
            reader.next()
        assert caught.value.fault is Fault.BAD_REPLY
        assert reader.partial
        reader.feed(b"250 OK\r\n" * 1000)
    assert len(reader._buffer) == 0


def test_partial() -> None:
    reader = ReplyReader()
    seen = [reader.partial]
    for octets_in, reply in (
        (b"", None),
        (b"2", None),
        (b"50-a\r\n", None),  # nothing is buffered now but the start of a reply
        (b"250 b\r\n250 stray\r\n", Reply(250, (b"a", b"b"))),  # a whole reply is left that nobody has read
        (b"", Reply(250, (b"stray",))),
    ):
        reader.feed(octets_in)
        assert reader.next() == reply
        seen.append(reader.partial)
    assert seen == [False, False, True, True, True, False]


@pytest.mark.parametrize(
    ("reply", "wire"),
    [
        (Reply(250, (b"OK",)), b"250 OK\r\n"),
        (Reply(250, (b"",)), b"250 \r\n"),
        (Reply(250, (b"a", b"b", b"")), b"250-a\r\n250-b\r\n250 \r\n"),
        (Reply(550, (b"a\r\n250 b",)), b"550 a  250 b\r\n"),
        (Reply(550, (b"a\nb", b"c\rd\0")), b"550-a b\r\n550 c d \r\n"),
    ],
)
def test_writes(reply: Reply, wire: bytes) -> None:
    assert reply.encode() == wire


@pytest.mark.parametrize(
    ("code", "line", "enhanced"),
    [
        (250, b"2.1.5 Recipient OK", "2.1.5"),
        (550, b"5.7.606", "5.7.606"),
        (451, b"4.3.2\tx", "4.3.2"),
        (250, b"OK 2.1.5", None),
        (250, b"2.1.5.6 version", None),
        (250, b"2.1.5-x", None),
        (250, b"2.1.1234 x", None),
        (250, b"5.1.1 contradicts its code", None),
        (354, b"3.0.0 no such class", None),
        (250, b"", None),
    ],
)
def test_enhanced(code: int, line: bytes, enhanced: str | None) -> None:
    assert Reply(code, (line, b"2.0.0 later")).enhanced == enhanced


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ((b"OK",), "OK"),
        ((b"a", b"b", b"c"), "a / b / c"),
        ((b"451 PRX4 ",), "451 PRX4"),
        ((b"a\x1b[31m\x7f\tb",), "a\ufffd[31m\ufffd\ufffdb"),
        (("ü\x85\u2028\u202e".encode(),), "ü\ufffd\ufffd\ufffd"),
        ((b"\xff",), "\ufffd"),
        ((b"x" * 3000,), "x" * 1000),
        (("\U0001f4e7".encode() * 1500,), "\U0001f4e7" * 1000),
        ((b"x" * 3999 + "é".encode(),), "x" * 1000),
    ],
)
def test_text(lines: tuple[bytes, ...], text: str) -> None:
    assert Reply(250, lines).text == text


def test_kind() -> None:
    assert [Reply(code, (b"",)).kind for code in (200, 299, 354, 421, 599)] == [2, 2, 3, 4, 5]


STREAMS = st.lists(
    st.sampled_from((b"250", b"251", b"-", b" ", b"\r\n", b"\n", b"\r", b"a", b"\0", b"250-a\r\n", b"250 b\r\n"))
    | octets(2),
    max_size=12,
).map(b"".join)


@PROPERTY
@given(cut(STREAMS))
def test_any_octets_are_replies_or_a_fault_whatever_the_cuts(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    found, partial = read(pieces)
    assert read([stream]) == (found, partial)
    assert read(one_by_one(stream)) == (found, partial)
    for reply in found:
        if isinstance(reply, Reply):
            assert read([reply.encode()]) == ([reply], False)  # what is passed on is read as what was meant


@PROPERTY
@given(st.integers(200, 599), st.lists(octets(6), min_size=1, max_size=4))
def test_one_reply_stays_one(code: int, lines: list[bytes]) -> None:
    wire = Reply(code, tuple(lines)).encode()
    assert wire.count(b"\r\n") == wire.count(b"\r") == wire.count(b"\n") == len(lines)
    (reply,), partial = read([wire])
    assert isinstance(reply, Reply)
    assert (reply.code, len(reply.lines), partial) == (code, len(lines), False)
    assert "\n" not in reply.text


def test_time_is_linear() -> None:
    start = process_time()
    reader = ReplyReader()
    reader.feed(b"250 OK\r\n" * 100_000)
    replies = 0
    while reader.next() is not None:
        replies += 1
    assert replies == 100_000
    assert process_time() - start < 10
