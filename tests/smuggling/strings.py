"""The bodies of the enumeration: every short string over CR, LF, dot and a letter, at three places of a client's talk.

Behind each string the client goes on with what looks like a second transaction. Whether that is text or a transaction
depends on the string alone, and only CRLF.CRLF may make it one. Nothing here knows how the product works.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

ALPHABET = (b"\r", b"\n", b".", b"a")
END = b"\r\n.\r\n"
SECOND = b"MAIL FROM:<forged@attacker.example>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: b\r\n\r\nb\r\n.\r\n"
"""Text of a body, until something in front of it ends the body. Its own end ends either of the two."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the strings stand, in what a client sends behind the 354."""

    name: str
    before: bytes
    after: bytes

    def talk(self, string: bytes) -> bytes:
        """All that the client sends."""
        return self.before + string + self.after

    def cuts(self, string: bytes) -> Sequence[int]:
        """Every cut that can part the string, or an end of data in or beside it, or the honest end."""
        length = len(self.before) + len(string) + len(self.after)
        behind = len(END) if self.after.startswith(END) else 1
        first = max(1, len(self.before) - 3)
        last = min(length, len(self.before) + len(string) + behind + 1)
        return (*range(first, last), *range(max(last, length - len(END)), length))


MIDDLE = Place("middle", b"A: b\r\n\r\n", SECOND)
"""Between a header and the rest of a body."""
START = Place("start", b"", SECOND)
"""The first octets of a body: DATA's own line end stands in front of them."""
LAST = Place("last", b"A: b\r\n\r\nc", END + SECOND)
"""Right in front of the honest end, the second transaction being honest, too."""
PLACES = (MIDDLE, START, LAST)


def strings(longest: int, shortest: int = 0) -> Iterator[bytes]:
    """Every string over the alphabet, the short ones first."""
    for length in range(shortest, longest + 1):
        yield from map(b"".join, product(ALPHABET, repeat=length))


def cut(talk: bytes, *places: int) -> list[bytes]:
    return [talk[start:end] for start, end in zip((0, *places), (*places, len(talk)), strict=True)]


def octet_by_octet(talk: bytes) -> list[bytes]:
    return [talk[at : at + 1] for at in range(len(talk))]
