"""What must happen, by the most obvious code there is: split, compare, join. The judge of the enumeration.

It must never share code with smtproxy, and nothing in it may be clever. It knows the few commands that the strings can
be followed by, and no others.
"""

import re
from dataclasses import dataclass, field

from smtproxy.wire.newlines import NewlineMode
from tests.smuggling.strings import END

_NEWLINE = re.compile(rb"(\r\n|\r|\n)")


@dataclass(slots=True)
class Expected:
    """What the client is told and the backend is given."""

    codes: list[int] = field(default_factory=list)
    """All replies behind the 354 of the first message."""
    accepted: list[bytes] = field(default_factory=list)
    """What goes to the backend behind each of its 354s, the end included."""
    refused: list[bytes] = field(default_factory=list)
    """Bodies that are refused, as the client sent them."""
    closed: bool = False
    """The proxy ends the session."""


def expected(pieces: list[bytes], setting: NewlineMode) -> Expected:
    """Play a client's talk that begins behind a 354. Pieces matter to text behind a refused DATA alone."""
    talk = b"".join(pieces)
    result = Expected()
    rest = _message(talk, setting, result)
    sender = recipient = False
    while rest:
        line, _, rest = rest.partition(b"\n")
        line = line.removesuffix(b"\r")
        if line.startswith(b"MAIL FROM:"):
            sender = True
            result.codes.append(250)
        elif line.startswith(b"RCPT TO:"):
            recipient = sender
            result.codes.append(250 if sender else 503)
        elif line != b"DATA":
            result.codes.append(500)
        elif recipient:
            result.codes.append(354)
            rest = _message(rest, setting, result)
            sender = recipient = False
        elif _comes_along(pieces, len(talk) - len(rest)):
            # Text that was sent ahead must never be read as commands: the session ends.
            result.codes.append(554)
            result.closed = True
            rest = b""
        else:
            result.codes.append(503)
    return result


def _comes_along(pieces: list[bytes], at: int) -> bool:
    """Whether the octet at `at` comes in one piece with the one before it."""
    end = 0
    for piece in pieces:
        end += len(piece)
        if end >= at:
            return end > at
    return False


def _message(talk: bytes, setting: NewlineMode, result: Expected) -> bytes:
    """One body; -> what stands behind its end. A body begins as if a line had just ended."""
    stream = b"\r\n" + talk
    at = stream.index(END)
    body, end, rest = stream[2:at] if at else b"", END if at else b".\r\n", stream[at + len(END) :]
    text = passed(body, setting)
    if text is None:
        result.codes.append(554)
        result.refused.append(body)
    else:
        result.codes.append(250)
        result.accepted.append(text + end)
    return rest


def passed(body: bytes, setting: NewlineMode) -> bytes | None:
    """What a setting makes of a body; None: it is refused."""
    match setting:
        case NewlineMode.NORMALISE:
            return b"\r\n".join(b".." if line == b"." else line for line in _NEWLINE.split(body)[::2])
        case NewlineMode.REJECT:
            bare = any(newline != b"\r\n" for newline in _NEWLINE.split(body)[1::2])
            return None if bare else body
        case NewlineMode.PASS:
            # line, newline, line, newline ... between the CRLF in front of a body and the one behind it
            parts = [b"\r\n", *_NEWLINE.split(body), b"\r\n"]
            for before, line, behind in zip(parts[::2], parts[1::2], parts[2::2], strict=False):
                if line and not line.strip(b".") and (before, behind) != (b"\r\n", b"\r\n"):
                    return None
            return body
