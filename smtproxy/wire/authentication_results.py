"""Authentication-Results (RFC 8601): our field is written here, and those that claim to be ours are taken out.

Whoever reads the mail behind us trusts the field that bears our name (RFC 8601 5, 7.1), so a sender must neither bring
one along nor bend ours: every word of a peer is a token or a quoted string, printable, and cut.
"""

import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.paths import domain_key
from smtproxy.wire.values import value

LONGEST_LINE: Final = 78
"""Characters, where it can be had. RFC 5322 2.1.1"""
LONGEST_VALUE: Final = 320
"""Characters of a word of a peer: a mailbox of 64 + 1 + 255. RFC 5321 4.5.3.1"""
LONGEST_FIELD: Final = 65536
"""Octets of a field that are kept to learn whose it is. Honest ones have 2,000; the backend's own bound is 64 KiB or
128 (Exchange: MaxHeaderSize), so whoever hides its owner deeper than that hides it from everybody."""

_WORD: Final = r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]+"  # RFC 2045 5.1
_MAILBOX: Final = r"(?:[!#$%&'*+/=?^_`{|}~A-Za-z0-9.-]*@)?[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_BARE: Final = re.compile(rf"(?:{_WORD}|{_MAILBOX})")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")
_NOT_IN_KEYWORD: Final = re.compile(r"[^A-Za-z0-9.-]+")


@value
class MethodResult:
    """One result. RFC 8601 2.2"""

    method: str
    """As "spf"; our own word."""
    result: str
    """As "pass"; our own word."""
    properties: tuple[tuple[str, str], ...] = ()
    """As ("smtp.mailfrom", "joe@example.com"): the name is ours, the value may be anything."""
    reason: str = ""
    """Any text."""


def compose(authserv_id: str, results: Sequence[MethodResult]) -> bytes:
    """Write the field, folded, its ending included. `authserv_id`: our name. No results are "none". RFC 8601 2.2"""
    lines = [f"Authentication-Results: {_value(authserv_id)}"]
    for one in results or ():
        lines[-1] += ";"
        words = [f"{_keyword(one.method)}={_keyword(one.result)}"]
        if one.reason:
            words.append(f"reason={_quoted(one.reason)}")
        words += [f"{_keyword(name)}={_value(said)}" for name, said in one.properties if said]
        lines += _folded(words)
    if not results:
        lines[-1] += "; none"
    return "\r\n\t".join(lines).encode("ascii") + b"\r\n"


def _folded(words: Sequence[str]) -> list[str]:
    line = " ".join(words)
    if len(line) < LONGEST_LINE:  # a ";" follows
        return [line]
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 2 <= LONGEST_LINE:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


@lru_cache(maxsize=256)  # they are our own words, and few
def _keyword(word: str) -> str:
    return _NOT_IN_KEYWORD.sub("-", word) or "-"


def _value(text: str) -> str:
    text = text[:LONGEST_VALUE]
    return text if _BARE.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    printable = _UNPRINTABLE.sub("?", text[:LONGEST_VALUE])
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'


_NAME: Final = b"authentication-results"
# A newline of any kind may begin a field for some server behind us. Only CRLF CRLF ends the header for all of them: to
# look on for too long costs nothing, to stop too early lets a forged field pass.
_MARK: Final = re.compile(rb"(?:\r\n|\r|\n)" + _NAME + rb"|\r\n\r\n")
_FIELD_END: Final = re.compile(rb"(?:\r\n|\r(?!\n)|\n)(?=[^ \t])")
_BEGUN: Final = re.compile(
    rb"[\r\n]{1,3}(?:" + b"(?:".join(b"%c" % octet for octet in _NAME) + b")?" * len(_NAME) + rb"\Z", re.IGNORECASE
)
"""The end of the octets so far, if it may be the beginning of a mark."""
_NEWLINES: Final = re.compile(rb"[\r\n]{1,2}\Z")
_LONGEST_MARK: Final = 3 + len(_NAME)
_COLON: Final = re.compile(_NAME + rb"[ \t]*:", re.IGNORECASE)
_PLAIN_ID: Final = re.compile(rb"\s*+([!-~\x80-\xff]{1,255}?)\s*+(?:\d+\s*+)?(?:;|\Z)")
_NO_PLAIN: Final = re.compile(rb"[\s()\"\\/;]")
_LONGEST_ID: Final = 255  # RFC 1035 2.3.4
_PATIENCE: Final = 1 << 20
"""Octets of one message that are read one by one, for ids with comments, quotes and the like. Honest mail has few."""


@hashed_by_identity
class _Place(Enum):
    OTHER = "other"
    """In fields that are passed."""
    RESULTS = "results"
    """In an Authentication-Results field whose owner is not known yet."""
    FORGED = "forged"
    """In one that is dropped."""
    BODY = "body"


class ForgedResults:
    """Takes Authentication-Results fields of our own id out of the header of one message. RFC 8601 5

    All other octets leave unchanged and in order, whatever the cut. The message is seen as elements, each a newline and
    what follows it; the first newline is imagined. An element is held until it is known not to be forged.
    """

    __slots__ = ("_held", "_imagined", "_ours", "_patience", "_place", "_scanned", "removed")

    def __init__(self, authserv_id: str) -> None:
        self._ours = domain_key(authserv_id)
        self._place = _Place.OTHER
        self._held = b"\r\n"
        self._imagined = 2  # octets at the front of what leaves that did not come in
        self._patience = _PATIENCE
        self._scanned = 0  # octets of what is held, known not to hold the end of the field
        self.removed = 0
        """Number of fields taken out."""

    def feed(self, octets: bytes) -> bytes:
        """Take the next octets of the message; return what may leave."""
        if self._place is _Place.BODY:
            return octets
        data = self._held + octets if self._held else octets
        lower = data.lower()
        leaving: list[bytes] = []
        at = 0
        while True:
            if self._place is _Place.OTHER:
                mark = _MARK.search(lower, at)
                if mark is None:
                    begun = _BEGUN.search(data, max(at, len(data) - _LONGEST_MARK))
                    stop = begun.start() if begun else len(data)
                    leaving.append(data[at:stop])
                    self._held = data[stop:]
                    break
                if mark[0] == b"\r\n\r\n":
                    leaving.append(data[at:])
                    self._held, self._place = b"", _Place.BODY
                    break
                leaving.append(data[at : mark.start()])
                at, self._place, self._scanned = mark.start(), _Place.RESULTS, mark.end() - mark.start()
            end = _FIELD_END.search(data, at + self._scanned)
            stop = end.start() if end else len(data)
            if self._place is _Place.RESULTS and (end or stop - at > LONGEST_FIELD):
                if self._is_ours(data[at:stop], bare=end is not None and end[0] != b"\r\n"):
                    self.removed += 1
                    self._place = _Place.FORGED
                else:
                    self._place = _Place.OTHER
                    if end is None:
                        # The mark at its front must not be found again.
                        leaving.append(data[at : at + 2])
                        at += 2
                    else:
                        leaving.append(data[at:stop])
                        at = stop
                    continue
            if end is None:
                self._hold(data, at)
                break
            if self._imagined and not any(leaving):
                self._imagined = len(end[0])  # The first field is gone: the next one has the imagined newline.
            at, self._place, self._scanned = stop, _Place.OTHER, 0
        return self._real(b"".join(leaving))

    def finish(self) -> bytes:
        """Return what is left: the message has ended."""
        held, place = self._held, self._place
        self._held, self._place = b"", _Place.BODY
        if place is _Place.RESULTS and self._is_ours(held):
            self.removed += 1
        elif place is not _Place.FORGED:
            return self._real(held)
        end = _NEWLINES.search(held)
        return end[0] if end and not self._imagined else b""

    def _hold(self, data: bytes, at: int) -> None:
        """Keep an element whose end has not come; of a forged one nothing but what may be the beginning of its end."""
        if self._place is _Place.FORGED:
            newlines = _NEWLINES.search(data, max(at + self._scanned, len(data) - 2))
            self._held, self._scanned = (newlines[0] if newlines else b""), 0
        else:
            self._held = data[at:]
            self._scanned = max(self._scanned, len(self._held) - 2)

    def _real(self, octets: bytes) -> bytes:
        imagined = min(self._imagined, len(octets))
        self._imagined -= imagined
        return octets[imagined:]

    def _is_ours(self, element: bytes, *, bare: bool = False) -> bool:
        """Whether a field claims to be ours. `bare`: no CRLF ends it, and whoever knows nothing else reads on."""
        whole = len(element) <= LONGEST_FIELD and not bare
        field = element[:LONGEST_FIELD].lstrip(b"\r\n")
        colon = _COLON.match(field)
        if colon is None:
            return False
        plain = _PLAIN_ID.match(field, colon.end())
        if plain is not None and not _NO_PLAIN.search(plain[1]) and (whole or plain[0].endswith(b";")):
            return domain_key(plain[1].decode("utf-8", "replace")) == self._ours
        text = field[colon.end() :][: self._patience].decode("utf-8", "replace")
        claimed, read, complete = _claimed_ids(text)
        self._patience -= read
        return self._ours in claimed or self._patience <= 0 or not (whole or complete)


def _claimed_ids(text: str) -> tuple[set[str], int, bool]:
    """Return every reading of the id in front of the first ";", how much was read, and whether that ";" is there.

    Comments may stand anywhere, a version may follow (RFC 8601 2.2, 2.5), and a lenient reader joins what a strict one
    would not: quoted parts, blanks around dots.
    """
    words = [""]
    depth = read = 0
    quoted = escaped = complete = False
    for read, letter in enumerate(text, 1):  # noqa: B007 - it is returned
        if escaped:
            escaped = False
            words[-1] += "" if depth else letter
        elif letter == "\\" and (quoted or depth):
            escaped = True
        elif letter == '"' and not depth:
            quoted = not quoted
        elif quoted:
            words[-1] += letter
        elif letter == "(":
            depth += 1
        elif depth:
            depth -= letter == ")"
        elif letter == ";":
            complete = True
            break
        elif letter in " \t\r\n/":
            words.append("")
        else:
            words[-1] += letter
    said = [word for word in words if word]
    readings = {"".join(said), "".join(said[:-1]), *said[:1]}
    return {domain_key(reading) for reading in readings if len(reading) <= _LONGEST_ID}, read, complete
