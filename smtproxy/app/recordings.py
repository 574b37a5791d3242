"""Decisions out of a log: the lines that have evidence, one after the other, in bounded memory.

Takes what smtproxy writes as JSON, also from journald (`journalctl -o cat`); other lines are passed over. Must never
fail at a line: one that is cut or of another version is counted.
"""

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
        said = self.line["evidence"].get("decisions_cut", 0)
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


def recordings(log: BinaryIO) -> Iterator[Recording]:
    """Yield the lines that have evidence, in their order."""
    for text in _lines(log):
        if b'"evidence":' not in text:
            continue
        try:
            line = orjson.loads(text)
        except ValueError:
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
