"""Bodies end where the server's rule says, in any cut of the octets; checked against a model that splits lines."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.sample.body import Chunk, DataBody

STRICT = (b"\r\n.\r\n",)
ALPHABET = (b"\r", b"\n", b".", b"a")


def read(data: bytes, sequences: tuple[bytes, ...] = STRICT, step: int | None = None) -> tuple[DataBody, bytes]:
    body = DataBody(sequences, 1_000_000)
    step = step or max(1, len(data))
    for at in range(0, len(data), step):
        piece = data[at : at + step]
        rest = body.feed(piece)
        if body.ended:
            return body, data[at + len(piece) - rest :]
        assert rest == 0
    return body, b""


def model(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Wire body, message and rest, line by line; only CRLF ends a line."""
    wire = message = b""
    while (end := data.find(b"\r\n")) >= 0:
        line, data = data[:end], data[end + 2 :]
        if line == b".":
            return wire, message, data
        wire += line + b"\r\n"
        message += line.removeprefix(b".") + b"\r\n"
    return None


def test_every_short_string_agrees_with_the_model() -> None:
    ended = 0
    for length in range(7):
        for letters in itertools.product(ALPHABET, repeat=length):
            data = b"".join(letters) + b"\r\n.\r\nQUIT"
            expected = model(data)
            for step in (None, 1):
                body, rest = read(data, step=step)
                assert body.ended
                assert (body.wire, body.message, rest) == expected
                assert body.octets == len(body.wire)
            ended += 1
    assert ended == sum(4**length for length in range(7))


@pytest.mark.parametrize(
    ("sequence", "data", "wire", "message"),
    [
        (b"\n.\n", b"a\n.\nb", b"a\n", b"a\n"),
        (b"\n.\n", b".\nb", b"", b""),
        (b"\n.\r\n", b"a\n.\r\nb", b"a\n", b"a\n"),
        (b"\r\n.\n", b"a\r\n.\nb", b"a\r\n", b"a\r\n"),
        (b"\r.\r", b"a\r.\rb", b"a\r", b"a\r"),
        (b"\n.\n", b"a\n..b\n.\nb", b"a\n..b\n", b"a\n.b\n"),
    ],
)
def test_vulnerable_servers(sequence: bytes, data: bytes, wire: bytes, message: bytes) -> None:
    for step in (None, 1, 2, 3):
        body, rest = read(data, (*STRICT, sequence), step)
        assert (body.ended, body.wire, body.message, rest) == (True, wire, message, b"b")
    assert not read(data)[0].ended


def test_the_earliest_end_counts() -> None:
    body, rest = read(b"a\r\n.\r\nb\n.\nc", (*STRICT, b"\n.\n"))
    assert (body.wire, rest) == (b"a\r\n", b"b\n.\nc")


@given(st.lists(st.sampled_from([*ALPHABET, b"\r\n", b"\r\n.\r\n", b"\x00\xff"]), max_size=30), st.integers(1, 9))
def test_cuts_do_not_matter(parts: list[bytes], step: int) -> None:
    data = b"".join(parts) + b"\r\n.\r\nrest"
    whole, cut = read(data), read(data, step=step)
    assert (whole[0].wire, whole[0].message, whole[1]) == (cut[0].wire, cut[0].message, cut[1])


def test_a_body_over_the_limit_is_counted_and_not_kept() -> None:
    body = DataBody(STRICT, 1000)
    for _ in range(50):
        assert body.feed(b"x" * 65_534 + b"\r\n") == 0
    assert body.feed(b".\r\nNOOP\r\n") == 6
    assert body.ended
    assert body.octets == 50 * 65_536
    assert len(body.wire) < 300_000


def test_chunks_are_exact() -> None:
    chunk = Chunk(5, last=True, refusal=None)
    assert chunk.feed(b"ab") == 0
    assert [chunk.ended, chunk.feed(b"c\r\n."), chunk.ended] == [False, 1, True]
    assert chunk.content == b"abc\r\n"


def test_octets_of_a_refused_chunk_are_read_and_dropped() -> None:
    chunk = Chunk(3, last=False, refusal="503 no")
    assert chunk.feed(b"abcNOOP") == 4
    assert chunk.ended
    assert chunk.content == b""


def test_an_empty_chunk_has_ended() -> None:
    assert Chunk(0, last=True, refusal=None).ended
