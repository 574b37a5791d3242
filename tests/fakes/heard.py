"""Replies as a peer reads them off the wire, by a reader that shares no code with the product."""

import re
from dataclasses import dataclass

_LINE = re.compile(rb"(\d{3})([ -]?)([^\r\n]*)\r\n")


@dataclass(frozen=True, slots=True)
class Heard:
    """One complete reply."""

    code: int
    octets: bytes
    """All of its lines, as they came."""

    @property
    def text(self) -> str:
        """The text of its last line."""
        return self.octets.rstrip(b"\r\n").rsplit(b"\n", 1)[-1][4:].decode("latin-1")


def read_replies(octets: bytes) -> tuple[list[Heard], bytes]:
    """Return the complete replies at the start of these octets, and what is behind them."""
    replies: list[Heard] = []
    start = at = 0
    while match := _LINE.match(octets, at):
        at = match.end()
        if match[2] != b"-":
            replies.append(Heard(int(match[1]), octets[start:at]))
            start = at
    return replies, octets[start:]
