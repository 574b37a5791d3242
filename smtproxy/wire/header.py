"""Looks at the header of a body as it passes: Message-ID, for the log, and the count of Received, against loops.

Bounded in memory, one pass when the header is complete, nothing afterwards. This is no parser of messages: it must
never decide about content, nor change any.
"""

import re

from smtproxy.wire.header_block import empty_line
from smtproxy.wire.paths import FORBIDDEN

MAX_MESSAGE_ID = 998
"""Characters. A line may not be longer. RFC 5322 2.1.1"""

# All on a copy in lower case whose CRs are LFs: then a field begins behind "\n", and each pattern begins with a
# literal, which the engine looks for at the speed of C. Blanks before the colon are obsolete, but read. RFC 5322 4.5
_SPACED_RECEIVED = re.compile(rb"\nreceived[ \t]+:")
_MESSAGE_ID = re.compile(rb"\nmessage-id[ \t]*:([^\n]*(?:\n{1,2}[ \t][^\n]*)*)")


class HeaderScan:
    """The first header block of one body. `limit`: octets looked at; a header that is longer is read up to there."""

    __slots__ = ("_buffer", "_limit", "_scanned", "complete", "message_id", "received")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0  # octets that are known to hold no empty line
        self.complete = False
        """The values are final: the header ended, or the limit was reached, or finish() was called."""
        self.message_id: str | None = None
        """Of the first Message-ID field: printable, unfolded, at most 998 characters."""
        self.received = 0
        """Number of Received fields. RFC 5321 6.3"""

    def feed(self, body: bytes) -> None:
        """Look at the next octets of the body."""
        if self.complete:
            return
        buffer = self._buffer
        buffer += body[: self._limit - len(buffer)]
        end = self._find_end()
        if end >= 0:
            self._read(bytes(buffer[:end]))
        elif len(buffer) == self._limit:
            self._read(bytes(buffer[: max(0, buffer.rfind(b"\n"))]))  # the last line may be cut

    def finish(self) -> None:
        """Read what there is: the body has ended."""
        if not self.complete:
            self._read(bytes(self._buffer))

    def _find_end(self) -> int:
        """Find where the first empty line begins, whichever newlines were used; -1 if it has not come."""
        buffer = self._buffer
        if buffer.startswith((b"\r", b"\n")):
            return 0  # no header at all
        start = self._scanned
        self._scanned = max(0, len(buffer) - 1)
        return empty_line(buffer, start)

    def _read(self, block: bytes) -> None:
        self.complete = True
        self._buffer = bytearray()
        lines = b"\n" + block.replace(b"\r", b"\n")
        lower = lines.lower()
        self.received = lower.count(b"\nreceived:")
        if b"\nreceived " in lower or b"\nreceived\t" in lower:
            self.received += len(_SPACED_RECEIVED.findall(lower))
        at = lower.find(b"\nmessage-id")  # the engine is slower at that
        match = _MESSAGE_ID.search(lower, at) if at >= 0 else None
        if match is not None:
            value = lines[match.start(1) : match.end(1)].decode("utf-8", "replace")
            self.message_id = FORBIDDEN.sub("\ufffd", " ".join(value.split()))[:MAX_MESSAGE_ID] or None
