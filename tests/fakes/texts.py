"""A memory for texts, in a dictionary, on a clock that the test moves; and other machines that know more."""

from dataclasses import dataclass, field


@dataclass
class FakeTexts:
    """It remembers until the time is up."""

    now: float = 1e9
    kept: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    elsewhere: dict[tuple[str, str], str] = field(default_factory=dict)
    """What other machines have kept."""
    shared: bool = False
    asked: list[str] = field(default_factory=list)
    """Purposes that were asked for elsewhere."""

    def put(self, purpose: str, name: str, text: str, seconds: float) -> None:
        self.kept[purpose, name] = text, self.now + seconds

    def text(self, purpose: str, name: str) -> str | None:
        text, until = self.kept.get((purpose, name), ("", 0.0))
        return text if until > self.now else None

    async def bring(self, purpose: str, name: str, seconds: float) -> None:
        self.asked.append(purpose)
        text = self.elsewhere.get((purpose, name))
        if text is not None:
            self.put(purpose, name, text, seconds)
