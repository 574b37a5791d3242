"""Taking in one body: its end, its newlines, its size, its first headers. Changes nothing but what the contract allows.

What comes out may go to the backend. Once a body is `spoilt` nothing more comes out, but its end is still found, so
that no octet of it is ever read as a command.
"""

from smtproxy.session.dialogue import MessageFacts
from smtproxy.wire.data import DataFramer
from smtproxy.wire.header import HeaderScan
from smtproxy.wire.newlines import NewlineMode, Newlines


class Intake:
    """One body on its way in."""

    __slots__ = ("_framer", "_header", "_max_size", "_mode", "_newlines", "dropped", "ended", "size")

    def __init__(self, newlines: NewlineMode | None, max_size: int, header: int) -> None:
        """Start at the first octet behind the client's DATA command; sizes in octets."""
        self._framer = DataFramer()
        self._newlines = None if newlines is None else Newlines(newlines)
        self._mode = newlines
        self._header = HeaderScan(header)
        self._max_size = max_size
        self.size = 0
        self.ended = False
        self.dropped = 0
        """Octets taken in after the body was spoilt or unwanted."""

    def feed(self, octets: bytes) -> tuple[bytes, bytes]:
        """Take octets of the client; return what may go on, and what stands behind the end of the body."""
        body, self.ended, rest = self._framer.feed(octets)
        self.size += len(body)
        if not self._header.complete:
            self._header.feed(body)
        if self.ended:
            self._header.finish()
        if self.size > self._max_size:
            self.dropped += len(body)
            return b"", rest
        newlines = self._newlines
        if newlines is not None:
            length = len(body)
            body = newlines.feed(body)
            if self.ended:
                body += newlines.finish()
            if self.spoilt:
                self.dropped += length
                return b"", rest
        return body, rest

    @property
    def terminator(self) -> bytes:
        """The octets that end the body, whole."""
        return self._framer.terminator

    @property
    def spoilt(self) -> bool:
        """Whether the message cannot be accepted any more: too large, or newlines that the setting forbids."""
        if self.size > self._max_size:
            return True
        newlines = self._newlines
        if newlines is None or not newlines.bare:
            return False
        return self._mode is NewlineMode.REJECT or (self._mode is NewlineMode.PASS and newlines.dot_line)

    @property
    def normalised(self) -> bool:
        """Whether newlines were changed."""
        return self._newlines is not None and self._newlines.normalised

    def facts(self) -> MessageFacts:
        """Return what is known of the message. Its last CRLF came with the terminator, and counts. RFC 1870 5"""
        newlines = self._newlines
        return MessageFacts(
            size=self.size + (2 if self.ended and self.size else 0),
            bare_newlines=newlines is not None and newlines.bare,
            dot_line=newlines is not None and newlines.dot_line,
            received=self._header.received,
            message_id=self._header.message_id,
        )
