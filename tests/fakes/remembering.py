"""A memory for what is learned of senders, in a dictionary, on a clock that the test moves."""

from dataclasses import dataclass, field


@dataclass
class FakeRemembering:
    """It remembers everything, and what it was asked to fetch."""

    now: float = 1e9
    counts: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    marks: dict[tuple[str, str], float] = field(default_factory=dict)
    fetched: list[tuple[str, str]] = field(default_factory=list)

    def add(self, purpose: str, name: str, half_life: float) -> None:
        self.counts[purpose, name] = self.count(purpose, name, half_life) + 1, self.now

    def count(self, purpose: str, name: str, half_life: float) -> float:
        value, since = self.counts.get((purpose, name), (0.0, self.now))
        return float(value * 0.5 ** ((self.now - since) / half_life))

    def mark(self, purpose: str, name: str, seconds: float) -> None:
        self.marks[purpose, name] = self.now + seconds

    def marked(self, purpose: str, name: str) -> bool:
        return self.marks.get((purpose, name), 0.0) > self.now

    def fetch(self, purpose: str, name: str, half_life: float) -> None:
        self.fetched.append((purpose, name))

    def fetch_mark(self, purpose: str, name: str, seconds: float) -> None:
        self.fetched.append((purpose, name))
