"""A journal that remembers, and that takes no line which is not documented: the closed list of `session/records.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from smtproxy.session.records import FIELDS, Event


@dataclass(slots=True)
class FakeJournal:
    """Log lines in the order in which they were written."""

    lines: list[tuple[Event, Mapping[str, object]]] = field(default_factory=list)
    before: dict[Event, Callable[[], None]] = field(default_factory=dict)
    """What happens just before the first line of an event, in the middle of all. It may raise, as no journal may."""

    def record(self, event: Event, fields: Mapping[str, object]) -> None:
        """Write one line. An undocumented field is an error of the test's subject."""
        happens = self.before.pop(event, None)
        if happens is not None:
            happens()
        unknown = set(fields) - set(FIELDS[event])
        assert not unknown, f"undocumented fields {unknown} in {event}"
        self.lines.append((event, dict(fields)))

    def of(self, event: Event) -> list[Mapping[str, object]]:
        """Return the lines of one event."""
        return [fields for kind, fields in self.lines if kind is event]

    def one(self, event: Event) -> Mapping[str, object]:
        """Return the only line of an event."""
        (fields,) = self.of(event)
        return fields


def broken() -> None:
    """A journal that raises."""
    raise RuntimeError("the journal broke")
