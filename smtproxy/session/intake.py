"""Taking in one body: its end, its newlines, its size, its first headers. Changes nothing but what the contract allows.

What comes out may go to the backend. Once a body is `spoilt` nothing more comes out, but its end is still found, so
that no octet of it is ever read as a command.

How a body comes and how it goes are two things: DATA or BDAT on either side. Where they differ the dots are converted
here, on the way, so that what is kept is what will be sent. A body that comes by BDAT and goes by BDAT is not touched:
its length frames it, and no newline in it can end anything.
"""

from smtproxy.session.dialogue import MessageFacts
from smtproxy.wire.authentication_results import ForgedResults
from smtproxy.wire.chunks import Chunk, ChunkFramer
from smtproxy.wire.data import DataFramer
from smtproxy.wire.dots import Dots
from smtproxy.wire.header import HeaderScan
from smtproxy.wire.newlines import NewlineMode, Newlines

_CRLF = b"\r\n"
_DOT = b".\r\n"


class Intake:
    """One body on its way in."""

    __slots__ = (
        "_announced",
        "_chunks",
        "_forged",
        "_framer",
        "_header",
        "_max_size",
        "_mode",
        "_newlines",
        "_stuffing",
        "_unstuffing",
        "complete",
        "dropped",
        "ended",
        "lengthened",
        "normalised",
        "size",
    )

    def __init__(
        self,
        newlines: NewlineMode | None,
        max_size: int,
        header: int,
        *,
        chunks_in: bool = False,
        chunks_out: bool = False,
        authserv_id: str = "",
    ) -> None:
        """Start at the first octet behind the client's DATA or BDAT command; sizes in octets.

        `chunks_in`, `chunks_out`: the body comes, or goes, by BDAT. `authserv_id`: Authentication-Results fields that
        bear this name are taken out; empty: none are.
        """
        self._forged = ForgedResults(authserv_id) if authserv_id else None
        if chunks_in and chunks_out:
            newlines = None
        self._announced = 0
        self._chunks = ChunkFramer() if chunks_in else None
        self._framer = self._chunks or DataFramer()
        self._newlines = None if newlines is None else Newlines(newlines)
        self._mode = newlines
        self._stuffing: Dots | None = None
        self._unstuffing: Dots | None = None
        if chunks_in and not chunks_out:
            self._stuffing = Dots(stuff=True, any_newline=newlines is NewlineMode.NORMALISE)
        if chunks_out and not chunks_in:
            self._unstuffing = Dots(stuff=False)
        self._header = HeaderScan(header)
        self._max_size = max_size
        self.size = 0
        self.ended = False
        self.complete = False
        """All octets of the present chunk, or of the body by DATA, have come."""
        self.dropped = 0
        """Octets taken in after the body was spoilt or unwanted."""
        self.normalised = False
        """Newlines were changed."""
        self.lengthened = False
        """It came by BDAT without a last CRLF, which DATA cannot do without."""

    def begin(self, chunk: Chunk) -> None:
        """Expect the octets of a chunk. One that says it is too large spoils the body before its first octet."""
        if self._chunks is not None:
            self.complete = False
            self._chunks.begin(chunk)
            self._announced += chunk.size

    @property
    def left(self) -> int | None:
        """Octets of the present chunk that have not come yet; None: the body comes by DATA."""
        return None if self._chunks is None else self._chunks.left

    def feed(self, octets: bytes) -> tuple[bytes, bytes]:
        """Take octets of the client; return what may go on, and what stands behind the end of the body or chunk."""
        body, self.ended, rest = self._framer.feed(octets)
        self.complete = self.ended if self._chunks is None else not self._chunks.left
        self.size += len(body)
        if not self._header.complete:
            self._header.feed(body)
        if self.ended:
            self._header.finish()
        if self.size > self._max_size:
            self.dropped += len(body)
            return b"", rest
        if self._announced > self._max_size:
            return b"", rest
        length = len(body)
        if self._stuffing is not None:
            body = self._stuff(self._stuffing, body)
        newlines = self._newlines
        if newlines is not None:
            body = newlines.feed(body)
            if self.ended:
                body += newlines.finish()
            self.normalised = self.normalised or newlines.normalised
            if self.spoilt:
                self.dropped += length
                return b"", rest
        if self._unstuffing is not None:
            body = self._unstuff(self._unstuffing, body)
        forged = self._forged
        if forged is not None:
            body = forged.feed(body)
            if self.ended:
                body += forged.finish()
        return body, rest

    @property
    def forged(self) -> int:
        """Fields taken out that bore our name."""
        return 0 if self._forged is None else self._forged.removed

    def _stuff(self, dots: Dots, body: bytes) -> bytes:
        """BDAT becomes DATA. The last CRLF is that of the terminator; if there is none, the terminator brings it."""
        body = dots.feed(body)
        if self.ended:
            last = dots.finish()
            if last and last != _CRLF and self._mode is NewlineMode.NORMALISE:
                self.normalised, last = True, _CRLF
            self.lengthened = self.size > 0 and last != _CRLF
            body += last if last != _CRLF else b""
        return body

    def _unstuff(self, dots: Dots, body: bytes) -> bytes:
        """DATA becomes BDAT. The CRLF in front of the final dot belongs to the text, if there is any."""
        body = dots.feed(body)
        if self.ended:
            body += dots.finish() + self.terminator.removesuffix(_DOT)
        return body

    @property
    def terminator(self) -> bytes:
        """The octets that end the body in DATA, whole."""
        if isinstance(self._framer, DataFramer):
            return self._framer.terminator
        return _CRLF + _DOT if self.size else _DOT

    @property
    def spoilt(self) -> bool:
        """Whether the message cannot be accepted any more: too large, or newlines that the setting forbids."""
        if self.size > self._max_size or self._announced > self._max_size:
            return True
        newlines = self._newlines
        if newlines is None or not newlines.bare:
            return False
        return self._mode is NewlineMode.REJECT or (self._mode is NewlineMode.PASS and newlines.dot_line)

    def facts(self) -> MessageFacts:
        """Return what is known of the message. By DATA its last CRLF came with the terminator. RFC 1870 5"""
        newlines = self._newlines
        last = 2 if self._chunks is None and self.ended and self.size else 0
        return MessageFacts(
            size=self.size + last,
            bare_newlines=newlines is not None and newlines.bare,
            dot_line=newlines is not None and newlines.dot_line,
            received=self._header.received,
            message_id=self._header.message_id,
        )
