"""One JSON object a line: the format for journald and other programs. 2 to 4 microseconds for a usual line.

Must never raise and never give anything but one line of at most LINE octets of valid JSON: UTF-8, no control
characters, neither raw nor escaped. orjson writes what it can; only a line that is not evidently fine is made again
from bounded values.
"""

import re
import time
from collections.abc import Callable, Mapping

import orjson

from smtproxy.app.log.values import ELEMENTS, TEXT, bounded_fields, text
from smtproxy.session.records import LEVELS

LINE = 65536
"""Octets of one line: journald splits lines above its LineMax, 48 KiB by default; a message line has 1 to 2 KiB."""
ALLOWANCES = (16384, 2048, 400)
"""Octets per field, tried in turn until the line is short enough; 100 fields (ELEMENTS) of the last fit for certain
unless names and values are made of quotation marks; then the fields are left out."""
WIDE = {"evidence": 32768}
"""Fields that may take more at first: the record of 50 recipients has 15 KiB, and one that is cut cannot be judged
again. With the other fields of its line it stays below journald's LineMax."""
EVENT = 100
"""Octets of the name of an event."""
TAKEN = ("time", "event", "level")
"""What stands in front of each line: a field of that name gets an underscore."""

_HEAD = 512  # octets of a line in front of its fields, with room to spare, and of what `queued` adds
_OTHER_ESCAPE = re.compile(rb'\\[^"]')  # an escape that is no quotation mark
_LONG_STRING = re.compile(rb'"[^"]{%d}' % (TEXT + 1))
_PIECE = TEXT // 2
_QUEUED = b',"queued":true}\n'


class Stamp:
    """Time stamps in UTC with microseconds. The text of a second is made once."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._second: tuple[int | None, str] = (None, "")

    def __call__(self) -> str:
        """The present time."""
        second, rest = divmod(self._clock(), 1_000_000_000)
        at, words = self._second
        if second != at:
            words = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = (second, words)
        return f"{words}.{rest // 1000:06d}Z"


class JsonLines:
    """Renders lines as JSON."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp
        self._heads = {(event.value, level): _head(event.value, level) for event, level in LEVELS.items()}

    def render(self, event: str, level: str, fields: Mapping[str, object]) -> bytes:
        """One line, LF included."""
        head = self._heads.get((event, level)) or _head(event, level)
        body = _body(fields)
        separator = b"," if len(body) > 2 else b""
        return b'{"time":"%b"%b%b%b\n' % (self._stamp().encode(), head, separator, body[1:])

    def queued(self, line: bytes) -> bytes:
        """The same line, saying that it had to wait."""
        return line[:-2] + _QUEUED


def renamed(fields: Mapping[str, object]) -> Mapping[str, object]:
    """The fields, none of them called as what stands in front of each line."""
    if "time" in fields or "event" in fields or "level" in fields:  # TAKEN, four times as fast as a loop
        return {f"{name}_" if name in TAKEN else name: value for name, value in fields.items()}
    return fields


def _head(event: str, level: str) -> bytes:
    return b',"event":%b,"level":%b' % (orjson.dumps(text(event, limit=EVENT)), orjson.dumps(text(level, limit=EVENT)))


def _body(fields: Mapping[str, object]) -> bytes:
    fields = renamed(fields)
    if not isinstance(fields, dict):
        fields = dict(fields)
    try:
        body = orjson.dumps(fields)  # no `default`: our code under a large list would take unbounded time
    except TypeError:  # JSONEncodeError is one: what JSON does not know, lone surrogates, large integers, cycles
        body = b""
    if _evidently_fine(body):
        return body
    for allowance in ALLOWANCES:
        body = orjson.dumps(bounded_fields(fields, allowance, WIDE if allowance == ALLOWANCES[0] else {}))
        if len(body) <= LINE - _HEAD:
            return body
    return b'{"fields_cut":%d}' % len(fields)


def _evidently_fine(body: bytes) -> bool:
    """Whether a few scans at C speed show that each bound of `values` holds and no control character is there."""
    if not body.startswith(b"{") or len(body) > LINE - _HEAD or not body.isascii() or b"\x7f" in body:
        return False
    if body.count(b",") >= ELEMENTS:
        return False  # perhaps a list of more than ELEMENTS
    if b"\\" in body:
        if _OTHER_ESCAPE.search(body):
            return False
        body = body.replace(b'\\"', b"''")
    return _quotes_are_near(body) or not _LONG_STRING.search(body)


def _quotes_are_near(body: bytes) -> bool:
    """Whether no string can be longer than TEXT: there is a quotation mark in each piece of half that length."""
    return all(body.find(b'"', at, at + _PIECE) >= 0 for at in range(0, len(body) - _PIECE, _PIECE))
