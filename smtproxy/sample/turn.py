"""One point of the dialogue that is to be answered: the normal reply and what it changes.

The conversation makes turns, the dialogue plays them under the script. A turn must never change anything before it is
settled, and it is settled once.
"""

from collections.abc import Callable
from dataclasses import dataclass

from smtproxy.sample.record import Delivery
from smtproxy.sample.script import Point


def _nothing() -> None:
    """Nothing depends on this answer."""


@dataclass(slots=True)
class Turn:
    """A question from the client and the server's normal answer."""

    point: Point
    text: str | None = None
    """Filled reply text; None: nothing is due here."""
    taken: Callable[[], None] = _nothing
    """What a good reply changes."""
    missed: Callable[[], None] = _nothing
    """What any other end of this turn changes."""
    good: bytes = b"2"
    """First digit of a good reply."""
    closes: bool = False
    """The normal reply is followed by a close."""
    ends_group: bool = False
    """The client must wait for this reply before it says anything (RFC 2920 3.1)."""
    delivery: Delivery | None = None
    """The message this turn is about."""
    settled: bool = False
    answered: bool = False
    """Something was said."""
    saved: bool | None = None
    """The message's way to the disk: not tried, done, or failed."""

    @property
    def is_good(self) -> bool:
        """The normal reply is a good one."""
        return self.text is not None and self.text.encode()[:1] == self.good

    def settle(self, *, good: bool) -> None:
        """Change what this turn changes; later calls do nothing."""
        if not self.settled:
            self.settled = True
            (self.taken if good else self.missed)()
