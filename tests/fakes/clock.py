"""A wall clock that stands still until a test moves it, in either direction."""

from dataclasses import dataclass

START = 1_790_000_000.0


@dataclass(slots=True)
class FakeClock:
    """Call it for the time: seconds since 1970."""

    now: float = START

    def __call__(self) -> float:
        return self.now
