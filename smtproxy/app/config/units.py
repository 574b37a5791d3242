"""Durations ("60s", "10m") and sizes ("50MiB") as an administrator writes them, turned into seconds and octets.

A number alone counts seconds or octets. Must never guess: a unit that could mean two things ("50M") is an error.
"""

import math
import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_OCTETS: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_WRITTEN: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)", re.ASCII)

LONGEST: Final = 30 * 86400.0
"""Seconds. Nothing here waits for longer than a month; more is a slip of the pen, and `select` has its limits too."""

LONGEST_MEMORY: Final = 400 * 86400.0
"""Seconds for which something is kept in mind at most: a year, and who writes once a year."""

LARGEST: Final = 2**40
"""Octets, or things that are counted. One TiB: more is a slip of the pen."""


def seconds(value: object) -> float:
    """Read a duration of at least a millisecond. Raises ValueError with what is wrong."""
    return _seconds(value, LONGEST)


def long_time(value: object) -> float:
    """Read how long something is kept in mind, which may be longer than anybody waits. Raises ValueError."""
    return _seconds(value, LONGEST_MEMORY)


def _seconds(value: object, longest: float) -> float:
    match value:
        case bool():
            raise ValueError(_DURATION)
        case int() | float():
            number = float(value) if abs(value) <= longest else math.inf
        case str() if (written := _WRITTEN.fullmatch(value)) and written[2] in _SECONDS:
            number = float(written[1]) * _SECONDS[written[2]]
        case _:
            raise ValueError(_DURATION)
    if not 0.001 <= number <= longest:
        raise ValueError(f"must be between 1ms and {show_seconds(longest)}")
    return number


def pause(value: object) -> float:
    """Read a duration that may be none at all. Raises ValueError with what is wrong."""
    nothing = type(value) in (int, float) and value == 0
    return 0.0 if nothing or value == "0s" else seconds(value)


def octets(value: object) -> int:
    """Read a size of at least one octet. Raises ValueError with what is wrong."""
    match value:
        case bool():
            raise ValueError(_SIZE)
        case int():
            number: float = value
        case str() if (written := _WRITTEN.fullmatch(value)) and written[2] in _OCTETS:
            number = float(written[1]) * _OCTETS[written[2]]
        case str() if (written := _WRITTEN.fullmatch(value)) and f"{written[2].upper()}iB" in _OCTETS:
            letter = written[2].upper()
            decimal = "kB" if letter == "K" else f"{letter}B"
            raise ValueError(
                f'"{value}" could mean two things: write {letter}iB (times 1024) or {decimal} (times 1000)'
            )
        case _:
            raise ValueError(_SIZE)
    if not 1 <= number <= LARGEST:
        raise ValueError("must be between 1 octet and 1024GiB")
    if number != int(number):
        raise ValueError("must be a whole number of octets")
    return int(number)


def show_seconds(value: float) -> str:
    """Write a duration in the largest unit that keeps it whole: 600.0 -> "10m"."""
    for unit in ("d", "h", "m", "s"):
        if value >= _SECONDS[unit] and value % _SECONDS[unit] == 0:
            return f"{value / _SECONDS[unit]:.0f}{unit}"
    return f"{value:g}s"


def show_octets(value: int) -> str:
    """Write a size in the largest unit that keeps it whole, binary ones first: 52428800 -> "50MiB"."""
    for unit in ("GiB", "MiB", "GB", "MB", "KiB", "kB"):
        if value >= _OCTETS[unit] and value % _OCTETS[unit] == 0:
            return f"{value // _OCTETS[unit]}{unit}"
    return f"{value}B"


_DURATION: Final = 'must be a duration like "500ms", "60s", "10m" or "1h" (a number alone counts seconds)'
_SIZE: Final = 'must be a size like "50MiB", "64KiB" or "10MB" (a number alone counts octets)'

Duration = Annotated[float, BeforeValidator(seconds)]
"""Seconds."""

Pause = Annotated[float, BeforeValidator(pause)]
"""Seconds, or 0."""

Size = Annotated[int, BeforeValidator(octets)]
"""Octets."""

Count = Annotated[int, Field(ge=1, le=LARGEST)]
"""A number of things, at least one."""
