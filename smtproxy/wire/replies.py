"""SMTP replies, to and from octets. RFC 5321 4.2

The reader takes what backends really send (no blank behind the code, no text, LF only) and nothing it cannot pair with
a command: whatever is no reply ends the reader for good. A reply must never become two on its way to the client.
"""

import re

from smtproxy.wire.errors import Fault, PeerError
from smtproxy.wire.paths import FORBIDDEN
from smtproxy.wire.values import value

# RFC 5321 4.5.3.1.5 says 512 for a line. Rule texts of filters with links in them exceed it, and a refusal that the
# sender could not read would be lost with it. 4096 octets, 128 lines and 32 KiB are far above every EHLO answer and
# policy text that is known, and small enough to be kept for each session.
MAX_LINE = 4096
MAX_LINES = 128
MAX_REPLY = 32 * 1024
MAX_TEXT = 1000
"""Characters of Reply.text: the size of a log field."""

NO_SUCH_USER = frozenset({"5.1.1", "5.1.10"})
"""Enhanced status codes that mean an unknown mailbox and nothing else (RFC 3463 3.2); the second one is Exchange's."""

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])|(?![0-9]))([^\x00]*)\Z", re.DOTALL)
# A whole reply as nearly all of them are: one line, a blank behind the code, CRLF. All else goes the long way.
_USUAL = re.compile(rb"([2-5][0-9]{2}) ([^\x00\r\n]{0,1000})\r\n")
_ENHANCED = re.compile(rb"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?=[ \t]|\Z)")  # RFC 3463 2
_BREAKS = re.compile(rb"[\x00\r\n]")


@value
class Reply:
    """A whole reply."""

    code: int
    """200 to 599."""
    lines: tuple[bytes, ...]
    """The text of each line, without code and separator; at least one, which may be empty."""

    def encode(self) -> bytes:
        """Write it with CRLF endings. A CR, LF or NUL inside a line becomes a blank: one reply stays one reply."""
        *first, last = self.lines
        if not first and _BREAKS.search(last) is None:
            return b"%d %b\r\n" % (self.code, last)
        code = b"%d" % self.code
        octets = b"".join([code + b"-" + _one_line(line) + b"\r\n" for line in first])
        return octets + code + b" " + _one_line(last) + b"\r\n"

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code of the first line, e.g. "2.1.5"; None if missing or of another class. RFC 2034 4"""
        match = _ENHANCED.match(self.lines[0])
        if match is None or int(match[1]) != self.kind:
            return None
        return match[0].decode("ascii")

    @property
    def text(self) -> str:
        """The text for a log field: lines joined by " / ", no control characters, at most 1000 characters."""
        text = b" / ".join(self.lines)[: 4 * MAX_TEXT].decode("utf-8", "replace")
        return FORBIDDEN.sub("\ufffd", text)[:MAX_TEXT].rstrip()

    @property
    def kind(self) -> int:
        """The first digit: 2 done, 3 go on, 4 not now, 5 no."""
        return self.code // 100


def _one_line(text: bytes) -> bytes:
    return _BREAKS.sub(b" ", text) if _BREAKS.search(text) else text


class ReplyReader:
    """Octets of a backend in, replies out. After its first PeerError it is dead: raises that again, keeps nothing."""

    __slots__ = ("_buffer", "_code", "_error", "_lines", "_scanned", "_size")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # octets at the front of the buffer that are known to hold no LF
        self._code = 0  # of the multi-line reply that has begun
        self._lines: list[bytes] = []
        self._size = 0  # octets of that reply
        self._error: PeerError | None = None

    def feed(self, data: bytes) -> None:
        """Append octets. The caller bounds memory by calling next() until None before it feeds more."""
        if self._error is None:
            self._buffer += data

    def next(self) -> Reply | None:
        """Return the next whole reply, None if there is none yet. Raises PeerError BAD_REPLY or REPLY_TOO_LONG."""
        if self._error is not None:
            raise PeerError(self._error.fault, self._error.detail)
        try:
            return self._next()
        except PeerError as error:
            self._error = error
            self._buffer.clear()
            self._lines.clear()
            raise

    @property
    def partial(self) -> bool:
        """Whether octets came that next() has not returned: whole replies, the start of one, what killed the reader."""
        return bool(self._buffer or self._lines or self._error)

    def _next(self) -> Reply | None:
        buffer = self._buffer
        if not buffer:
            return None
        usual = None if self._lines or self._scanned else _USUAL.match(buffer)
        if usual is not None:
            reply = Reply(int(usual[1]), (bytes(usual[2]),))
            del buffer[: usual.end()]
            return reply
        while (end := buffer.find(b"\n", self._scanned)) >= 0:
            line = bytes(memoryview(buffer)[:end]).removesuffix(b"\r")
            del buffer[: end + 1]  # cheap: bytearray moves its start, it does not copy the rest
            self._scanned = 0
            if self._take(line):
                reply = Reply(self._code, tuple(self._lines))
                self._lines.clear()
                self._size = 0
                return reply
        self._scanned = len(buffer)
        if self._scanned > MAX_LINE + 1:  # the one more may be the CR of the ending
            raise PeerError(Fault.REPLY_TOO_LONG, f"more than {MAX_LINE} octets in a line")
        return None

    def _take(self, line: bytes) -> bool:
        """Add a line to the reply; tell whether it was the last."""
        if len(line) > MAX_LINE:
            raise PeerError(Fault.REPLY_TOO_LONG, f"more than {MAX_LINE} octets in a line")
        match = _LINE.match(line)
        if match is None:
            raise PeerError(Fault.BAD_REPLY, "a line that is no reply")
        digits, separator, text = match.groups()
        code = int(digits)
        if self._lines and code != self._code:
            raise PeerError(Fault.BAD_REPLY, "codes of one reply that differ")
        self._code = code
        self._size += len(line)
        if self._size > MAX_REPLY or len(self._lines) == MAX_LINES:
            raise PeerError(Fault.REPLY_TOO_LONG, f"more than {MAX_LINES} lines or {MAX_REPLY} octets")
        self._lines.append(text.replace(b"\r", b" "))
        return bool(separator != b"-")
