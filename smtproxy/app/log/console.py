"""One readable line per event, for a human at a terminal.

Must never raise and never print a control character that came from a peer; colours are ours, for a terminal alone. A
`message` line says in its first words how it ended, from whom to whom, how large it was and what the client was told.
"""

from collections.abc import Callable, Mapping

import orjson

from smtproxy.app.log.json_lines import ALLOWANCES, EVENT, LINE, Stamp
from smtproxy.app.log.values import CUT, Plain, bounded_fields, text
from smtproxy.session.records import Event

EVENT_WIDTH = max(len(event.value) for event in (Event.MESSAGE, Event.LISTENING, Event.BACKEND_DOWN))
"""Columns of the event: wide enough for the usual ones; a longer name moves its own line only."""
LEVEL_WIDTH = len("warning")
SHOWN_RECIPIENTS = 3

_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_RED, _GREEN, _YELLOW, _MAGENTA = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[35m"
_LEVEL_COLOURS = {"info": "", "debug": _DIM, "warning": _YELLOW, "error": _RED}
_OUTCOME_COLOURS = {
    "delivered": _GREEN,
    "deferred": _YELLOW,
    "rejected": _RED,
    "dropped": _RED,
    "aborted": _MAGENTA,
    "unknown": _MAGENTA,
}
_EMPTY: tuple[Plain, ...] = (None, "", [], {})


class ConsoleLines:
    """Renders lines for reading, with colours or without."""

    def __init__(self, stamp: Stamp, *, colours: bool) -> None:
        self._stamp = stamp
        self._colours = colours

    def render(self, event: str, level: str, fields: Mapping[str, object]) -> bytes:
        """One line, LF included."""
        values = bounded_fields(fields, ALLOWANCES[1])
        name, level = text(event, limit=EVENT), text(level, limit=EVENT)
        words = [
            self._painted(self._stamp(), _DIM),
            self._painted(level.ljust(LEVEL_WIDTH), _LEVEL_COLOURS.get(level, "")),
            name.ljust(EVENT_WIDTH),
        ]
        if tell := _HEADLINES.get(name):
            outcome, *rest = tell(values)
            words += [self._painted(outcome, _OUTCOME_COLOURS.get(outcome.strip(), "")), *rest]
        words += [
            self._painted(f"{key}=", _DIM) + _shown(value) for key, value in values.items() if value not in _EMPTY
        ]
        return self._bounded(" ".join(words)).encode() + b"\n"

    def queued(self, line: bytes) -> bytes:
        """The same line, saying that it had to wait."""
        return line[:-1] + b" queued=true\n"

    def _painted(self, words: str, colour: str) -> str:
        return f"{colour}{words}{_RESET}" if self._colours and colour else words

    def _bounded(self, line: str) -> str:
        octets = line.encode()
        room = LINE - 32  # for the marker, the reset and what `queued` adds
        if len(octets) <= room:
            return line
        return octets[:room].decode(errors="ignore") + CUT + (_RESET if self._colours else "")


def _message(values: dict[str, Plain]) -> list[str]:
    """What a reader wants first; takes the fields it tells out of `values`."""
    outcome = str(values.pop("outcome", "?")).ljust(len("delivered"))
    words = [outcome, f"<{values.pop('sender', '')}>", "->", _recipients(values)]
    size = values.pop("size", None)
    if isinstance(size, int):
        words.append(_octets(size))
    if reply := values.pop("reply", None):
        words.append(orjson.dumps(reply).decode())
    return words


def _recipients(values: dict[str, Plain]) -> str:
    """`<b@example.org>, <c@example.org> (550 5.1.1 unknown) and 7 more`; a reply only where it is no 2xx."""
    first = values.pop("recipients", None)
    total = values.pop("recipients_total", None)
    if not isinstance(first, list) or not first:
        return "nobody"
    shown = ", ".join(_recipient(one) for one in first[:SHOWN_RECIPIENTS])
    more = (total if isinstance(total, int) else len(first)) - len(first[:SHOWN_RECIPIENTS])
    return f"{shown} and {more} more" if more > 0 else shown


def _recipient(one: Plain) -> str:
    if not isinstance(one, dict):
        return f"<{one}>"
    reply = str(one.get("reply") or "")
    return f"<{one.get('to', '')}>" + (f" ({reply})" if reply and not reply.startswith("2") else "")


def _octets(size: int) -> str:
    for unit, octets in (("MiB", 1024 * 1024), ("KiB", 1024)):
        if size >= octets:
            return f"{size / octets:.1f} {unit}"
    return f"{size} octets"


def _shown(value: Plain) -> str:
    """A value after `key=`: bare if it is one word, else as JSON."""
    match value:
        case float():
            return f"{value:.3f}"
        case str() if value.isprintable() and not any(mark in value for mark in ' "='):
            return value
        case _:
            return orjson.dumps(value).decode()


_HEADLINES: Mapping[str, Callable[[dict[str, Plain]], list[str]]] = {Event.MESSAGE.value: _message}
