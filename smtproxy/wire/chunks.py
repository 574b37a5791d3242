"""BDAT: its command, read and written, and the octets it announces, counted. RFC 3030

A chunk is framed by its length alone: nothing in it is looked at, nothing ends it early. Whoever cannot read the length
cannot know where the chunk ends either, and must never go on to read it as commands.
"""

import re

from smtproxy.wire.errors import Fault, PeerError
from smtproxy.wire.values import value

# RFC 3030 2 sets no bound for the digits; 20 are those of SIZE (RFC 1870 3), and more than any disk holds.
_CHUNK = re.compile(rb"([0-9]{1,20})(?:[ \t]+(LAST))?\Z", re.IGNORECASE)


@value
class Chunk:
    """What a BDAT command announces."""

    size: int
    """Octets that follow the command's line end."""
    last: bool
    """They end the message."""


def parse_bdat(argument: bytes) -> Chunk:
    """Read the argument of BDAT. Raises PeerError BAD_CHUNK: the octets behind the command cannot be framed."""
    match = _CHUNK.match(argument)
    if match is None:
        raise PeerError(Fault.BAD_CHUNK, "no size, or no LAST")
    return Chunk(int(match[1]), match[2] is not None)


def compose_bdat(size: int, *, last: bool = False) -> bytes:
    """Write a BDAT command, ending included."""
    return b"BDAT %d LAST\r\n" % size if last else b"BDAT %d\r\n" % size


class ChunkFramer:
    """Octets behind BDAT commands in, content out. For one message."""

    __slots__ = ("_last", "left")

    def __init__(self) -> None:
        self._last = False
        self.left = 0
        """Octets of the present chunk that have not come yet."""

    def begin(self, chunk: Chunk) -> None:
        """Expect the octets of a chunk. Only when the one before it is complete."""
        self.left, self._last = chunk.size, chunk.last

    def feed(self, data: bytes) -> tuple[bytes, bool, bytes]:
        """Return the octets of the chunk, whether the message has ended, and the octets behind the chunk."""
        content = data[: self.left]
        self.left -= len(content)
        return content, self._last and not self.left, data[len(content) :]
