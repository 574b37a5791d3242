"""Ids of sessions: short enough to be read over the telephone, unique over restarts for all practical ends."""

import random
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, lower case: no i, l, o, u."""
_RANDOM_BITS = 25


def session_id() -> str:
    """Return a new id: 13 characters, milliseconds of the time of day in front, so that ids sort by time."""
    milliseconds = time.time_ns() // 1_000_000 & (1 << 40) - 1
    number = milliseconds << _RANDOM_BITS | random.getrandbits(_RANDOM_BITS)
    letters = []
    for _ in range(13):
        number, letter = number >> 5, _ALPHABET[number & 31]
        letters.append(letter)
    return "".join(reversed(letters))
