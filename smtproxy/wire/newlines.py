"""Line-ending hygiene of a body in DATA: what bare CR and bare LF may do on their way to a backend.

The attack is SMTP smuggling: a receiver that takes LF.LF, LF.CRLF, CR.CR or the like for the end of data reads the rest
of a body as commands. We end at CRLF.CRLF only, so such a body would go to it as one message and arrive as two.
Therefore, whatever newline stands before or behind it, and however the network cuts the octets, no lone dot between
newlines must leave here unless it is surrounded by CRLF, which the framer has already ruled out.

The start of a body counts as behind a CRLF, its end as before one. Clean bodies cost one pass at the speed of C and no
copy; there is no Python per line anywhere. Tried and wrong: one replace() of lone dots misses every second of adjacent
ones; regular expressions are twenty times slower; split and join are at the mercy of a body of empty lines.
"""

import io
from enum import Enum

# Dots behind a bare newline are held back as they grow. RFC 5322 2.1.1: no line has more than 998 octets.
MAX_DOTS = 1000

_END = b"\r\n.\r\n"
_BEGUN = tuple(_END[:length] for length in (4, 3, 2, 1))  # the longest first
_CLEAN = (None, "\r\n")


class NewlineMode(Enum):
    """What becomes of a bare newline (configuration: `bare_newlines`)."""

    NORMALISE = "normalise"
    """It becomes CRLF, and a line that would then be a lone dot becomes two dots."""
    REJECT = "reject"
    """The message is refused."""
    PASS = "pass"  # noqa: S105 - a mode, no password
    """It goes on as it is, unless it touches a line made of dots alone: then the message is refused."""


class Newlines:
    """One body in, as the framer gives it, and what may go on out.

    After each feed() look at `bare` (REJECT) or `dot_line` (PASS) before anything is sent: once it is True nothing more
    is returned, and what was returned before holds nothing of what it found.
    """

    __slots__ = ("_decoder", "_held", "_mode", "_returned", "_text", "bare", "dot_line", "normalised")

    def __init__(self, mode: NewlineMode) -> None:
        self._mode = mode
        self._decoder = io.IncrementalNewlineDecoder(None, translate=False)
        self._held = b"\r\n"  # what the next octets can still change, or must be seen with
        self._returned = 2  # how many of them are behind us already; at first the CRLF that precedes every body
        self._text = ""  # NORMALISE, once a bare newline was seen: what is held, as text with "\n"
        self.bare = False
        """A bare CR or LF was seen."""
        self.dot_line = False
        """PASS: a bare newline touches a line made of dots alone (or more than 1000 dots follow it)."""
        self.normalised = False
        """NORMALISE: octets were changed."""

    def feed(self, body: bytes) -> bytes:
        """Return the octets that may go on."""
        if self.normalised:
            return self._normalise(body)
        if not self.bare:
            self._look(body, final=False)
        window = self._held + body  # no copy while nothing is held
        if not self.bare:
            return self._pass(window) if self._mode is NewlineMode.PASS else self._hold(window)
        if self._mode is NewlineMode.REJECT:
            return b""
        if self._mode is NewlineMode.PASS:
            return self._pass(window)
        return self._begin_to_normalise(window)

    def finish(self) -> bytes:
        """Return the rest; what the terminator begins with follows behind it."""
        if not self.bare:
            self._look(b"", final=True)
        if self._mode is NewlineMode.REJECT and self.bare:
            return b""
        if self._mode is NewlineMode.PASS and self.bare:
            self.dot_line = self.dot_line or _touches_dots(self._held + b"\r\n")
            return b"" if self.dot_line else self._held[self._returned :]
        if not self.bare:
            return self._held[self._returned :]
        begun = b"" if self.normalised else self._begin_to_normalise(self._held)
        return begun + self._normalise(b"", final=True)

    def _look(self, body: bytes, *, final: bool) -> None:
        self._decoder.decode(body.decode("latin-1"), final)  # latin-1 maps octets to characters one to one
        self.bare = self._decoder.newlines not in _CLEAN

    def _hold(self, window: bytes) -> bytes:
        """Return a clean window but for a tail that a bare newline could still make part of a lone dot."""
        hold = next((len(begun) for begun in _BEGUN if window.endswith(begun)), 0)
        returned = self._returned
        end = len(window) - hold
        self._held = window[end:]
        self._returned = max(0, returned - end)
        return window[returned:end]

    def _begin_to_normalise(self, window: bytes) -> bytes:
        self.normalised = True
        self._decoder = io.IncrementalNewlineDecoder(None, translate=True)
        self._held = b""
        return self._normalise(window)

    def _normalise(self, octets: bytes, *, final: bool = False) -> bytes:
        text = self._text + self._decoder.decode(octets.decode("latin-1"), final)
        if final:
            text += "\n"  # the CRLF in front of the terminator
        # Twice: a match eats the newline that the next lone dot begins with, so adjacent ones are met in turn.
        text = text.replace("\n.\n", "\n..\n").replace("\n.\n", "\n..\n")
        hold = 1 if text.endswith("\n") else 2 if text.endswith("\n.") else 0
        end = len(text) - hold
        self._text = "" if final else text[end:]
        ready = text[:end].replace("\n", "\r\n").encode("latin-1")
        if ready and self._returned:
            ready = ready[self._returned :]
            self._returned = 0
        return ready

    def _pass(self, window: bytes) -> bytes:
        """Return the window as it is, but for newlines whose line is made of dots alone so far, if they are bare."""
        undecided = b"\r" if window.endswith(b"\r") else b""
        decided = window[:-1] if undecided else window
        self.dot_line = self.dot_line or (self.bare and _touches_dots(decided))
        if self.dot_line:
            return b""
        start = self._returned
        line = decided.rstrip(b".")
        if line.endswith(b"\r\n"):  # may leave, but remember that what comes next follows CRLF, or CRLF and dots
            before = b"\r\n" if len(line) == len(decided) else b"\r\n."
            end = len(decided)
            self._returned = len(before)
            self._held = before + undecided
        else:
            end = len(line) - 1 if line.endswith((b"\r", b"\n")) else len(decided)
            self._returned = 0
            self._held = window[end:]
        return window[start:end]


def _touches_dots(octets: bytes) -> bool:
    """Tell whether a bare newline is right before or behind a line of dots alone; a CR at the end counts as bare."""
    # NUL becomes the sign for CRLF (those that are there are made something else), LF the one for any bare newline.
    marks = octets.replace(b"\0", b" ").replace(b"\r\n", b"\0").replace(b"\r", b"\n")
    if b"\n" + b"." * (MAX_DOTS + 1) in marks:
        return True
    while b".." in marks:
        marks = marks.replace(b"..", b".")
    return b"\n.\n" in marks or b"\n.\0" in marks or b"\0.\n" in marks
