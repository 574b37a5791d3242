"""Dot-stuffing put on or taken off, where a message changes its framing between DATA and BDAT. RFC 5321 4.5.2

In DATA a line that begins with a dot has one more of them; in BDAT it has not. A body that keeps its framing never
comes here. Newlines at the end of what was fed are held back, so that no seam between two pieces hides a line's start,
and so that the caller can decide about the last one of the body.
"""

_STUFF = ((b"\r\n.", b"\r\n.."),)
# Where each bare newline will become CRLF, what follows one will begin a line: stuffed before, it stays what it was.
_STUFF_ANY = ((b"\n.", b"\n.."), (b"\r.", b"\r.."))
_UNSTUFF = ((b"\r\n.", b"\r\n"),)
_NEWLINES = (b"\r\n", b"\r", b"\n")  # the longest first


class Dots:
    """One body in, the same with its dots as the other framing has them out. It begins as if a line had just ended."""

    __slots__ = ("_changes", "_first", "_held", "_start")

    def __init__(self, *, stuff: bool, any_newline: bool = False) -> None:
        """`stuff`: put dots in front of dots, or else take them off. `any_newline`: a bare one begins a line, too."""
        self._changes = (_STUFF_ANY if any_newline else _STUFF) if stuff else _UNSTUFF
        self._first = b".." if stuff else b""
        self._start = True
        self._held = b""

    def feed(self, body: bytes) -> bytes:
        """Return the octets that may go on."""
        window = self._held + body
        if not window:
            return b""
        hold = next((len(newline) for newline in _NEWLINES if window.endswith(newline)), 0)
        end = len(window) - hold
        piece, self._held = window[:end], window[end:]
        for old, new in self._changes:
            piece = piece.replace(old, new)
        if self._start:
            self._start = False
            if piece.startswith(b"."):
                piece = self._first + piece[1:]
        return piece

    def finish(self) -> bytes:
        """Return what was held back: the newline at the very end of the body, or nothing."""
        return self._held
