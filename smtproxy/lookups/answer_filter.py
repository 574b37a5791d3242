"""Which answers of a list count: "127.0.0.[2..11]", in the language of Postfix's postscreen_dnsbl_sites.

Four parts with dots between; each is a number, or brackets with numbers and ranges, as in [2;4;6..8].
"""

import re
from dataclasses import dataclass

_PATTERN = re.compile(r"(\d{1,3}|\[[0-9.;]+\])" + r"\.(\d{1,3}|\[[0-9.;]+\])" * 3, re.ASCII)
_RANGE = re.compile(r"(\d{1,3})(?:\.\.(\d{1,3}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class AnswerFilter:
    """Numbers that may stand in each of the four places."""

    text: str
    places: tuple[frozenset[int], ...]

    def __str__(self) -> str:
        """Write it as the configuration does."""
        return self.text

    def takes(self, answer: str) -> bool:
        """Tell whether an address as "127.0.0.2" counts."""
        return all(int(number) in place for number, place in zip(answer.split("."), self.places, strict=True))


def answer_filter(text: str) -> AnswerFilter:
    """Read a filter. Raises ValueError with what is wrong."""
    parts = _PATTERN.fullmatch(text)
    if parts is None:
        raise ValueError(f'"{text}" is no filter of answers: write it as in "127.0.0.2" or "127.0.0.[2..11;20]"')
    return AnswerFilter(text, tuple(_numbers(text, part) for part in parts.groups()))


def _numbers(text: str, part: str) -> frozenset[int]:
    found: set[int] = set()
    for piece in part.strip("[]").split(";"):
        limits = _RANGE.fullmatch(piece)
        low = int(limits[1]) if limits else -1
        high = int(limits[2] or limits[1]) if limits else -1
        if not 0 <= low <= high <= 255:
            raise ValueError(f'"{text}": "{piece}" is no number and no range from 0 to 255, as in "2" or "2..11"')
        found.update(range(low, high + 1))
    return frozenset(found)


EVERY_ANSWER = AnswerFilter("127.[0..255].[0..255].[0..255]", tuple(map(frozenset, ((127,), *[range(256)] * 3))))
"""What counts where nothing is written."""
