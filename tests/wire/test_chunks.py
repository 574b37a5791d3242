"""Tests of BDAT: what is a size, and that the length alone frames a chunk, in all cuts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.wire.chunks import Chunk, ChunkFramer, compose_bdat, parse_bdat
from smtproxy.wire.commands import parse_command
from smtproxy.wire.errors import Fault, PeerError
from tests.wire.pieces import PROPERTY, every_cut, octets


@pytest.mark.parametrize(
    ("argument", "chunk"),
    [
        (b"0", Chunk(0, last=False)),
        (b"0 LAST", Chunk(0, last=True)),
        (b"86 last", Chunk(86, last=True)),
        (b"86 \t Last", Chunk(86, last=True)),
        (b"000", Chunk(0, last=False)),
        (b"9" * 20, Chunk(10**20 - 1, last=False)),
    ],
)
def test_sizes(argument: bytes, chunk: Chunk) -> None:
    assert parse_bdat(argument) == chunk


@pytest.mark.parametrize(
    "argument",
    [
        *(b"", b"LAST", b"-1", b"+1", b"1.0", b"0x10", b"1e3", b"1_000", b"five", b"\xd9\xa3", b"9" * 21),
        *(b"5LAST", b"5 LASTING", b"5 LAST LAST", b"5 6", b"5 LAST\0", b"5\n"),
    ],
)
def test_what_is_no_size(argument: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        parse_bdat(argument)
    assert caught.value.fault is Fault.BAD_CHUNK


@PROPERTY
@given(octets())
def test_any_argument_is_a_chunk_or_a_fault(argument: bytes) -> None:
    try:
        found: int | Fault = parse_bdat(argument).size
    except PeerError as error:
        found = error.fault
    assert found is Fault.BAD_CHUNK or isinstance(found, int)


@given(st.integers(0, 10**20 - 1), st.booleans())
def test_what_is_composed_is_read_as_it_was_meant(size: int, last: bool) -> None:
    line = compose_bdat(size, last=last)
    assert line.endswith(b"\r\n")
    command = parse_command(line.removesuffix(b"\r\n"))
    assert command.verb == "BDAT"
    assert parse_bdat(command.argument) == Chunk(size, last)


def frame(sizes: list[int], pieces: list[bytes]) -> tuple[bytes, bytes, bool]:
    """Feed pieces to a message of these chunks; -> content, what stands behind the last chunk, whether it ended."""
    framer = ChunkFramer()
    chunks = [Chunk(size, at == len(sizes) - 1) for at, size in enumerate(sizes)]
    content = behind = b""
    ended = False
    framer.begin(chunks.pop(0))
    for piece in pieces:
        rest = piece
        while not ended:
            part, ended, rest = framer.feed(rest)
            content += part
            if framer.left or not chunks:
                break
            framer.begin(chunks.pop(0))
        behind += rest
    return content, behind, ended


@PROPERTY
@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), octets(8))
def test_octets_do_not_depend_on_cuts(sizes: list[int], stream: bytes) -> None:
    size = sum(sizes)
    for pieces in every_cut(stream):
        content, behind, ended = frame(sizes, [*pieces, b""])
        assert (content, behind) == (stream[:size], stream[size:])
        assert ended == (len(stream) >= size)


def test_an_end_of_data_ends_no_chunk() -> None:
    framer = ChunkFramer()
    framer.begin(Chunk(10, last=True))
    assert framer.feed(b"a\r\n.\r\n") == (b"a\r\n.\r\n", False, b"")
    assert framer.left == 4
    assert framer.feed(b"QUITQUIT") == (b"QUIT", True, b"QUIT")


def test_a_huge_chunk_is_counted_and_not_waited_for_in_memory() -> None:
    framer = ChunkFramer()
    framer.begin(Chunk(10**19, last=False))
    assert framer.feed(b"x" * 1000) == (b"x" * 1000, False, b"")
    assert framer.left == 10**19 - 1000
