"""Decisions out of a log: the lines that have evidence, one after the other, in bounded memory.

Takes what smtproxy writes as JSON, also from journald (`journalctl -o cat`) or behind what syslog puts in front; other
lines are passed over. Must never fail at a line: one that is cut or of another version is counted.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import orjson

from smtproxy.app.log.json_lines import LINE
from smtproxy.app.log.values import CUT
from smtproxy.policy.recording import Recorded, restore

_LONGEST: Final = 2 * LINE
"""Octets of a line that is read; ours have at most half of it."""


_CUT: Final = CUT.removesuffix("]").encode()
"""In every value that the log has cut, lists included."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A line of the log with the decisions in it."""

    line: Mapping[str, Any]
    decisions: tuple[Recorded, ...]
    unreadable: str = ""
    """Why there are none."""

    @property
    def left_out(self) -> int:
        """Decisions that were made and not recorded: those about recipients beyond the first."""
        said = self.line.get("evidence", {}).get("decisions_cut", 0)
        return said if isinstance(said, int) else 0

    @property
    def id(self) -> str:
        """The transaction; the session, where none had begun."""
        return str(self.line.get("transaction") or self.line.get("session", ""))

    @property
    def listener(self) -> str:
        """Name of the listener."""
        return str(self.line.get("listener", ""))

    def is_called(self, name: str) -> bool:
        """Whether that is the id of its session, its transaction, or its message."""
        ids = (self.line.get("session"), self.line.get("transaction"), self.line.get("message_id"))
        return name in ids or f"<{name}>" in ids


_CUT_OFF: Final = Recording({}, (), "the end of the line is missing")
_BEGINNING: Final = re.compile(rb'\{"time":"([^"]{1,40})"')
"""Of each line of ours."""


@dataclass(slots=True)
class Reading:
    """What a log turned out to be."""

    name: str = ""
    """An id that is looked for."""
    lines: int = 0
    ours: int = 0
    """Lines as smtproxy writes them."""
    named: int = 0
    """Those of them that have the id in them."""
    first: str = ""
    last: str = ""
    """The times of the first and the last line of ours."""

    def note(self, text: bytes, time: str) -> None:
        """Count a line of ours."""
        self.ours += 1
        self.first, self.last = self.first or time, time
        self.named += bool(self.name) and self.name.encode(errors="surrogateescape") in text

    def __str__(self) -> str:
        """Say why nothing was found in it."""
        if not self.lines:
            return "the log is empty"
        if not self.ours:
            return f"smtproxy wrote none of its {self.lines} lines; it must be the log in JSON, uncompressed or by gzip"
        if self.named:
            return f"{self.named} of its lines are about that, and none has a decision"
        return f"it has {self.ours} lines of smtproxy, from {self.first} to {self.last}"


def recordings(log: BinaryIO, reading: Reading | None = None) -> Iterator[Recording]:
    """Yield the lines that have evidence, in their order; note in `reading` what the others are."""
    reading = reading or Reading()
    for whole in _lines(log):
        reading.lines += 1
        beginning = _BEGINNING.search(whole)
        text = whole if beginning is None else whole[beginning.start() :]
        if beginning is not None:
            reading.note(text, beginning[1].decode(errors="replace"))
        if beginning is not None and not text.rstrip().endswith(b"}"):
            yield _CUT_OFF
            continue
        if b'"evidence":' not in text:
            continue
        try:
            line = orjson.loads(text)
        except ValueError:
            if beginning is not None:
                yield _CUT_OFF
            continue
        if isinstance(line, dict) and isinstance(line.get("evidence"), dict):
            yield _recording(line)


def _recording(line: Mapping[str, Any]) -> Recording:
    if _CUT in orjson.dumps(line["evidence"]):  # a list without its end would be judged as if it were whole
        return Recording(line, (), "cut")
    try:
        return Recording(line, tuple(restore(line["evidence"], str(line.get("session", "")))))
    except ValueError as wrong:
        return Recording(line, (), str(wrong))


def _lines(log: BinaryIO) -> Iterator[bytes]:
    """Yield lines; of one that is too long nothing."""
    skipping = False
    while text := log.readline(_LONGEST):
        whole = text.endswith(b"\n")
        if not skipping and (whole or len(text) < _LONGEST):
            yield text
        skipping = not whole
