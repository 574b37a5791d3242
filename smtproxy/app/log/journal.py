"""What the rest of the program logs with: `LineJournal` for the closed list of events, structlog for anything else.

Must never raise, block or log content or secrets. Both ways end in the same renderer and the same writer, so that
whoever reads the log sees one format. The closed list does not pass structlog's chain, which costs three times the
line itself.
"""

import os
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, Literal, Protocol

import structlog

from smtproxy.app.log.backlog import LOST, Rank
from smtproxy.app.log.console import ConsoleLines
from smtproxy.app.log.json_lines import JsonLines, Stamp
from smtproxy.app.log.outlet import Outlet, open_outlet
from smtproxy.app.log.writer import Writer
from smtproxy.session.records import LEVELS, Event

Format = Literal["json", "console", "auto"]

CAPACITY = 8 * 1024 * 1024
"""Octets that may wait per worker: at 1,000 messages/s, with 1.5 KiB of lines each, a reader may pause for 5 seconds,
which is longer than a restart of journald takes."""
RESERVE = CAPACITY // 2
"""The part of it that only `message`, `session` and `commit` lines can use."""

_RANKS: Final = {Event.MESSAGE: Rank.MESSAGE, Event.SESSION: Rank.RESERVED, Event.COMMIT: Rank.RESERVED}


class Renderer(Protocol):
    """A format of lines. Neither method raises for any fields whose mapping itself works."""

    def render(self, event: str, level: str, fields: Mapping[str, object]) -> bytes:
        """One line, LF included."""

    def queued(self, line: bytes) -> bytes:
        """The same line, saying at its end that it had to wait."""


class LineJournal:
    """The `Journal` of session/records.py: renders a line and gives it to the writer."""

    def __init__(self, writer: Writer, renderer: Renderer) -> None:
        self.writer = writer
        """Its `drain()` is to be run as a task."""
        self._renderer = renderer

    def record(self, event: Event, fields: Mapping[str, object]) -> None:
        """Write one line. Never blocks, never raises."""
        line = self._rendered(event.value, LEVELS.get(event, "info"), fields)
        queued = self._renderer.queued(line) if event is Event.COMMIT else None
        self.writer.write(line, event=event.value, rank=_RANKS.get(event, Rank.ORDINARY), queued=queued)

    def note(self, event: str, level: str, fields: Mapping[str, object]) -> None:
        """Write a line that is not in the closed list: what libraries and structlog have to say. Lost first."""
        self.writer.write(self._rendered(event, level, fields), event="other")

    def close(self) -> None:
        """Write what waits, for a bounded time. Blocks: call it after the loop."""
        self.writer.close()

    def _rendered(self, event: str, level: str, fields: Mapping[str, object]) -> bytes:
        try:
            return self._renderer.render(event, level, fields)
        except Exception as error:  # noqa: BLE001 - fields may raise anything when looked at; the event itself is still told
            return self._renderer.render(event, level, {"unloggable": type(error).__name__})


def open_log(
    fd: int,
    form: Format = "auto",
    *,
    capacity: int = CAPACITY,
    reserve: int = RESERVE,
    stamp: Stamp | None = None,
    share: Callable[[Outlet], Outlet] = lambda outlet: outlet,
) -> LineJournal:
    """Journal on a descriptor, which stays the caller's. `auto`: for humans if it is a terminal, else JSON.

    `share` makes of its outlet one that other processes write to, too.
    """
    stamp = stamp or Stamp()
    terminal = os.isatty(fd)
    renderer: Renderer
    if form == "console" or (form == "auto" and terminal):
        renderer = ConsoleLines(stamp, colours=terminal and "NO_COLOR" not in os.environ)
    else:
        renderer = JsonLines(stamp)

    def lost_line(counts: Mapping[str, int]) -> bytes:
        return renderer.render(LOST, LEVELS[Event.LOG_LOST], {"lost": dict(counts)})

    return LineJournal(
        Writer(share(open_outlet(fd)), capacity=capacity, reserve=reserve, lost_line=lost_line), renderer
    )


def configure_structlog(journal: LineJournal, level: str = "info") -> None:
    """Make `structlog.get_logger()` write to the journal. `level`: the lowest that is written."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _exception, _to_note],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_factory(journal),
        cache_logger_on_first_use=False,  # a reload that changes the log would be lost on loggers already used
    )


class _Notes:
    """What structlog takes for the logger behind its chain: any method writes a note."""

    def __init__(self, journal: LineJournal) -> None:
        self._journal = journal

    def msg(self, event: str, level: str, fields: Mapping[str, object]) -> None:
        self._journal.note(event, level, fields)

    debug = info = warning = warn = error = critical = fatal = exception = msg


def _factory(journal: LineJournal) -> Callable[..., _Notes]:
    def make(*_names: object) -> _Notes:
        return _Notes(journal)

    return make


_STRUCTLOG_LEVELS: Final = {"debug": "debug", "info": "info", "msg": "info", "warning": "warning", "warn": "warning"}


def _to_note(
    _logger: object, method: str, fields: MutableMapping[str, Any]
) -> tuple[tuple[object, ...], dict[str, Any]]:
    event = fields.pop("event", "")
    return (event if isinstance(event, str) else repr(event), _STRUCTLOG_LEVELS.get(method, "error"), fields), {}


def _exception(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Turn `exc_info` into `error` and `traceback`, the fields of a `crash` line."""
    error = fields.pop("exc_info", None)
    if error and not isinstance(error, BaseException):
        error = error[1] if isinstance(error, tuple) else sys.exc_info()[1]
    if error:
        fields.update(error=error, traceback=error.__traceback__)
    return fields
