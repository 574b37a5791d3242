"""Every measured value by metric, peer and round; medians, spreads and ratios of them.

A ratio is always taken inside one round, between two runs that were neighbours in time, and must never be a quotient
of medians.
"""

from collections import defaultdict
from statistics import median


class Results:
    """Values of all rounds."""

    def __init__(self) -> None:
        self._values: defaultdict[tuple[str, str], dict[int, float]] = defaultdict(dict)

    def put(self, metric: str, peer: str, value: float, round_number: int = 0) -> None:
        """Keep one value."""
        self._values[metric, peer][round_number] = value

    def values(self, metric: str, peer: str) -> list[float]:
        """Return the values of all rounds; none if it was not measured."""
        return list(self._values.get((metric, peer), {}).values())

    def ratios(self, metric: str, peer: str, base: str, base_metric: str | None = None) -> list[float]:
        """Return the ratio to another peer (or to another metric) of each round that has both."""
        mine = self._values.get((metric, peer), {})
        theirs = self._values.get((base_metric or metric, base), {})
        return [value / theirs[key] for key, value in mine.items() if theirs.get(key)]


def typical(values: list[float]) -> float | None:
    """Return the median, or nothing where nothing was measured."""
    return median(values) if values else None
