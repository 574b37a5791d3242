"""Cuts what a client sends into command lines, in memory and time that the client cannot choose.

A line ends at LF; a CR right in front of it belongs to the ending. Nothing else ends a line: a bare CR stays in it, for
the command parser to refuse. This must never be used on a body, where only CRLF ends anything.
"""

from smtproxy.wire.errors import Fault, PeerError

_BEGINNING = 16
"""Octets: a verb of ours, and blanks before it."""


class LineBuffer:
    """Octets in, command lines out.

    `limit`: octets of a line without its ending; longer ones are swallowed and reported once they end.
    `endless`: octets of one line after which its end is no longer awaited.
    """

    __slots__ = ("_buffer", "_endless", "_limit", "_lost", "_scanned", "_told", "swallowed")

    def __init__(self, limit: int, endless: int) -> None:
        self._limit = limit
        self._endless = endless
        self._buffer = bytearray()
        self._scanned = 0  # octets at the front of the buffer that are known to hold no LF
        self._lost = 0  # octets of the present line that were thrown away because it is too long
        self._told = False  # LINE_ENDLESS was raised for the present line
        self.swallowed = b""
        """How the line began that was too long last: what it was meant to be."""

    def feed(self, data: bytes) -> None:
        """Append octets. The caller bounds memory by calling next() until None before it feeds more."""
        self._buffer += data

    def next(self) -> bytes | None:
        """Return the next line without its ending, None if it has not ended yet.

        Raises PeerError LINE_TOO_LONG when a swallowed line has ended, or LINE_ENDLESS, once a line. Both leave the
        buffer usable; the line behind is read as if nothing had happened.
        """
        buffer = self._buffer
        if not buffer:
            return None
        if not self._scanned and not self._lost:
            # Nearly every line comes whole, and is short enough.
            end = buffer.find(b"\n")
            if 0 <= end <= self._limit:
                line = bytes(buffer[:end]).removesuffix(b"\r")
                del buffer[: end + 1]
                return line
        while (end := buffer.find(b"\n", self._scanned)) >= 0:
            line = bytes(memoryview(buffer)[:end]).removesuffix(b"\r")
            del buffer[: end + 1]  # cheap: bytearray moves its start, it does not copy the rest
            length = self._lost + end
            fits = not self._lost and len(line) <= self._limit
            told = self._told
            self._scanned = self._lost = 0
            self._told = False
            if fits:
                return line
            if not told:
                if length == end:
                    self.swallowed = line[:_BEGINNING]
                raise self._too_long(length)
        self._scanned = len(buffer)
        # One octet above the limit may be the CR of the ending.
        if self._lost or self._scanned > self._limit + 1:
            if not self._lost:
                self.swallowed = bytes(buffer[:_BEGINNING])
            self._lost += self._scanned
            self._scanned = 0
            buffer.clear()
            if self._lost > self._endless and not self._told:
                self._told = True
                raise self._too_long(self._lost)
        return None

    def begins(self, octets: bytes) -> bool:
        """Tell whether the unread octets begin with these, be they the start of a line that has not ended."""
        return self._buffer.startswith(octets)

    def take(self, most: int | None = None) -> bytes:
        """Hand over the unread octets, at most so many of them: to the body, or to be dropped at STARTTLS.

        What is left begins a line.
        """
        octets = bytes(self._buffer if most is None else memoryview(self._buffer)[:most])
        del self._buffer[: len(octets)]
        self._scanned = self._lost = 0
        self._told = False
        return octets

    def __len__(self) -> int:
        """Count the unread octets."""
        return len(self._buffer)

    def _too_long(self, length: int) -> PeerError:
        if length > self._endless:
            return PeerError(Fault.LINE_ENDLESS, f"more than {self._endless} octets in a command line")
        return PeerError(Fault.LINE_TOO_LONG, f"more than {self._limit} octets in a command line")
