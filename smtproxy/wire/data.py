"""Finds the end of a body in DATA: CRLF.CRLF and nothing else, however the network cuts it. RFC 5321 4.1.1.4

No octet is changed, dot-stuffing stays, no line is looked at. A bare newline must never end a message (SMTP smuggling),
and the octets of the terminator must never be returned as body: they leave whole, by the one function that commits.
"""

_END = b"\r\n.\r\n"
_BEGUN = tuple(_END[:length] for length in (4, 3, 2, 1))  # the longest first


class DataFramer:
    """Octets behind the 354 in, body out. For one body."""

    __slots__ = ("_ended", "_held", "_seen", "terminator")

    def __init__(self) -> None:
        self._seen = b"\r\n"  # the last octets of the stream; a body begins as if a line had just ended
        self._held = 0  # how many of them were not returned yet
        self._ended = False
        self.terminator = b""
        """Once ended: CRLF.CRLF, or .CRLF where the client's first line was the dot."""

    def feed(self, data: bytes) -> tuple[bytes, bool, bytes]:
        """Return the octets that are surely body, whether DATA has ended, and the octets behind its end.

        The body comes without the CRLF that belongs to the terminator. Behind the end everything is returned as rest.
        """
        if self._ended:
            return b"", True, data
        window = self._seen + data
        start = len(self._seen) - self._held
        at = window.find(_END)
        if at >= 0:
            self._ended = True
            self.terminator = window[max(at, start) : at + 5]
            return window[start:at], True, window[at + 5 :]
        hold = next((len(begun) for begun in _BEGUN if window.endswith(begun)), 0)
        hold = min(hold, len(window) - start)  # the virtual line end in front of the body was never in the stream
        self._seen = window[-4:]
        self._held = hold
        return window[start : len(window) - hold], False, b""
