"""How the sample backend reads a message: DATA up to one of the server's ends of data, or a BDAT chunk by its length.

It must never share code with `smtproxy.wire`: it is the judge of what left the proxy. A search over the joined octets
with a virtual line end in front, nothing cleverer, so that it can be seen to be right.
"""

import re
from dataclasses import dataclass, field

_START = b"\r\n"  # the command line's own end: the first line of a body is a line, too (RFC 5321 4.1.1.4)


@dataclass(slots=True)
class DataBody:
    """A body after 354."""

    sequences: tuple[bytes, ...]
    """Each ends the body: NEWLINE `.` NEWLINE."""
    limit: int
    """Octets kept; of a larger body the tail is only counted."""
    ended: bool = False
    octets: int = 0
    """Octets on the wire so far; once `ended`, of the body alone."""
    _raw: bytearray = field(default_factory=lambda: bytearray(_START))
    _dropped: int = 0

    def feed(self, data: bytes) -> int:
        """Take octets; -> how many of them stand behind the end and are not the body's."""
        overlap = max(map(len, self.sequences)) - 1
        start = max(0, len(self._raw) - overlap)
        self._raw += data
        end = None
        for sequence in self.sequences:
            at = self._raw.find(sequence, start)
            if at >= 0 and (end is None or at + len(sequence) < end[1]):
                end = at + sequence.index(b"."), at + len(sequence)
        if end is None:
            self.octets += len(data)
            self._forget()
            return 0
        self.ended = True
        rest = len(self._raw) - end[1]
        self.octets = self._dropped + max(0, end[0] - len(_START))
        del self._raw[end[0] :]
        return rest

    @property
    def wire(self) -> bytes:
        """The body as it came, dots still stuffed, without the terminator."""
        return bytes(self._raw[len(_START) :])

    @property
    def message(self) -> bytes:
        """The body with the dots taken off that open a line (RFC 5321 4.5.2), whatever the server takes for a line."""
        newlines = sorted({sequence[: sequence.index(b".")] for sequence in self.sequences}, key=len, reverse=True)
        line_start = b"(" + b"|".join(map(re.escape, newlines)) + rb")\."
        return re.sub(line_start, rb"\1", bytes(self._raw))[len(_START) :]

    def _forget(self) -> None:
        # Cut in the middle, so that the end is still found.
        surplus = len(self._raw) - self.limit - 65536
        if surplus > 65536:  # in large steps: each one moves what stands behind
            del self._raw[self.limit : self.limit + surplus]
            self._dropped += surplus


@dataclass(slots=True)
class Chunk:
    """The octets behind one BDAT command (RFC 3030)."""

    size: int
    last: bool
    refusal: str | None
    """Reply text where the command itself was refused: its octets must be read all the same."""
    keep: bool = True
    received: int = 0
    content: bytearray = field(default_factory=bytearray)

    @property
    def ended(self) -> bool:
        """All octets are here."""
        return self.received >= self.size

    def feed(self, data: bytes) -> int:
        """Take octets; -> how many of them stand behind the chunk."""
        mine = data[: self.size - self.received]
        self.received += len(mine)
        if self.keep and self.refusal is None:
            self.content += mine
        return len(data) - len(mine)
