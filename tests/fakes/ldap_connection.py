"""A connection to a directory as bonsai has them, with the objects in memory; filters are looked up, not understood."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import bonsai


class Entry(dict[str, Sequence[object]]):
    """As bonsai gives it."""

    def __init__(self, dn: str, attributes: Mapping[str, Sequence[object]]) -> None:
        super().__init__(attributes)
        self.dn = dn


@dataclass(slots=True)
class FakeConnection:
    """What a server has."""

    objects: Mapping[str, Mapping[str, Sequence[object]]]
    """By name: for searches of one object."""
    answers: dict[str, list[Entry] | Exception] = field(default_factory=dict)
    """By filter: for searches below a base."""
    asked: list[str] = field(default_factory=list)
    closed_objects: set[str] = field(default_factory=set)
    """Names of objects that this user may not read."""
    closed: bool = False

    def search(
        self, base: str, scope: int, text: str, names: list[str], *, timeout: float, sizelimit: int = 0
    ) -> list[Entry]:
        """Search."""
        assert timeout > 0
        if base in self.closed_objects:
            raise bonsai.InsufficientAccess
        if scope == 0:
            return [Entry(base, self.objects[base])] if base in self.objects else []
        self.asked.append(text)
        answer = self.answers.get(text, [])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def paged_search(self, base: str, scope: int, text: str, names: list[str], *, page_size: int) -> Iterator[Entry]:
        """Search, with no limit of time: it would be the end of the process."""
        return iter(self.search(base, scope, text, names, timeout=1))

    def close(self) -> None:
        """Close."""
        self.closed = True
