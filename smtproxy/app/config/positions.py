"""Finds the line of a setting. For error messages only: a second, slower parse, which tells where each key stands.

Must never fail: whatever cannot be found is blamed on the nearest table around it, in the end on line 1.
"""

import re
from collections.abc import Sequence

import spanned_toml
from spanned_toml._types import Spanned


class Positions:
    """The places of all keys and values of a TOML text."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")  # as the parser sees it, so that the offsets fit
        try:
            self._root: object = spanned_toml.loads(self._text)
        except (ValueError, RecursionError):
            self._root = {}

    def line(self, location: Sequence[str | int]) -> int:
        """Return the line (from 1) of the deepest part of the location that is there."""
        node, offset = self._root, 0
        for depth, part in enumerate(location):
            inner = node.inner() if isinstance(node, Spanned) else node
            if isinstance(inner, dict) and isinstance(part, str):
                key = next((key for key in inner if _plain(key) == part), None)
                if key is None:
                    break
                node, offset = inner[key], _start(key) or offset
            elif isinstance(inner, list) and isinstance(part, int) and part < len(inner):
                node = inner[part]
                offset = _start(node) or self._table(location[: depth + 1]) or offset
            else:
                break
        return self._text.count("\n", 0, offset) + 1

    def _table(self, location: Sequence[str | int]) -> int:
        """Find [[name]], counted: elements of an array of tables have no place of their own."""
        *names, number = location
        if not isinstance(number, int) or not all(isinstance(name, str) for name in names):
            return 0
        dotted = r"\s*\.\s*".join(re.escape(str(name)) for name in names)
        headers = list(re.finditer(rf"^[ \t]*\[\[\s*{dotted}\s*\]\]", self._text, re.MULTILINE))
        return headers[number].start() if number < len(headers) else 0


def _plain(key: object) -> object:
    return key.inner() if isinstance(key, Spanned) else key


def _start(node: object) -> int:
    """Return the offset of a key or value; 0 for tables, which have none."""
    if not isinstance(node, Spanned):
        return 0
    start: int = node.span().start
    return start
