"""Cuts octets as a network may, for the tests of all parsers: what they return must not depend on it.

Must never leave out a cut that was asked for; random cuts come from hypothesis, so that a failing one shrinks.
"""

from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st

PROPERTY = settings(derandomize=True, database=None, deadline=None, max_examples=300)
"""The same examples in each run: a test that fails, fails for everybody."""

# What parsers stumble over, more often than chance would bring it.
NASTY = (
    *(b"\r", b"\n", b"\r\n", b".", b"..", b"\r\n.\r\n", b"\n.\n", b"\r.\r"),
    *(b"\0", b"\t", b" ", b"\xff\xfb", b"\x80", b"\xc3\xa9", b"\xed\xa0\x80"),
    *(b"<", b">", b"@", b'"', b"\\", b":", b",", b"=", b"-", b"[", b"]", b"a"),
    *(b"250", b"250-", b"MAIL FROM:", b"RCPT TO:", b"<>", b"example.org", b"SIZE=1"),
    *(character.encode() for character in "\u3002\uff20\u212a\u2028"),
)


def octets(max_size: int = 40) -> st.SearchStrategy[bytes]:
    """Any octets, mostly nasty ones; `max_size` in pieces."""
    return st.lists(st.sampled_from(NASTY) | st.binary(max_size=3), max_size=max_size).map(b"".join)


def one_by_one(whole: bytes) -> list[bytes]:
    return [whole[at : at + 1] for at in range(len(whole))]


def every_cut(whole: bytes) -> Iterator[list[bytes]]:
    """In one piece, in two at each place, octet by octet."""
    yield [whole]
    for at in range(1, len(whole)):
        yield [whole[:at], whole[at:]]
    yield one_by_one(whole)


@st.composite
def cut(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> list[bytes]:
    """Octets in random pieces, empty ones among them."""
    stream = draw(whole)
    at = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    return [stream[start:end] for start, end in zip([0, *at], [*at, len(stream)], strict=True)]
