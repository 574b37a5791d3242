"""A memory for what is learned of senders, in a dictionary, on a clock that the test moves."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FakeSaid:
    """A text that was kept."""

    text: str
    since: float
    expires: float


@dataclass
class FakeRemembering:
    """It remembers everything, and what it was asked to fetch."""

    now: float = 1e9
    counts: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    marks: dict[tuple[str, str], FakeSaid] = field(default_factory=dict)
    fetched: list[tuple[str, str]] = field(default_factory=list)
    asked: int = 0

    @property
    def persons(self) -> int:
        """Another one each time: what is read anew is what the tests are about."""
        self.asked += 1
        return self.asked

    def add(self, purpose: str, name: str, half_life: float, amount: float = 1.0) -> None:
        self.counts[purpose, name] = self.count(purpose, name, half_life) + amount, self.now

    def count(self, purpose: str, name: str, half_life: float) -> float:
        value, since = self.counts.get((purpose, name), (0.0, self.now))
        return float(value * 0.5 ** ((self.now - since) / half_life))

    def mark(self, purpose: str, name: str, seconds: float) -> None:
        self.put(purpose, name, "", seconds)

    def put(self, purpose: str, name: str, text: str, seconds: float) -> None:
        known = self._said(purpose, name)
        since = known.since if known is not None and known.text == text else self.now
        self.marks[purpose, name] = FakeSaid(text, since, self.now + seconds)

    def marked(self, purpose: str, name: str) -> bool:
        return self._said(purpose, name) is not None

    def look(
        self, texts: Sequence[tuple[str, str]], counts: Sequence[tuple[str, str, float]]
    ) -> tuple[Sequence[FakeSaid | None], Sequence[float]]:
        return [self._said(*one) for one in texts], [self.count(*one) for one in counts]

    def fetch(self, purpose: str, name: str, half_life: float) -> None:
        self.fetched.append((purpose, name))

    def fetch_mark(self, purpose: str, name: str, seconds: float) -> None:
        self.fetched.append((purpose, name))

    def _said(self, purpose: str, name: str) -> FakeSaid | None:
        said = self.marks.get((purpose, name))
        return said if said is not None and said.expires > self.now else None
