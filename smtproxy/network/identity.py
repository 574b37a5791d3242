"""Ids of sessions: short enough to be read over the telephone, unique over restarts for all practical ends."""

import base64
import random
import time

_TO_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789abcdefghjkmnpqrstvwxyz")
"""To Crockford's base 32, in lower case: no i, l, o, u, and the order of the alphabet is that of the numbers."""
_RANDOM_BITS = 25


def session_id() -> str:
    """Return a new id: 13 characters, milliseconds of the time of day in front, so that ids sort by time."""
    milliseconds = time.time_ns() // 1_000_000 & (1 << 40) - 1
    number = milliseconds << _RANDOM_BITS | random.getrandbits(_RANDOM_BITS)
    # 65 bits are 13 letters; base 32 works on 80: 15 zero bits behind them make three letters that are cut off.
    encoded = base64.b32encode((number << 15).to_bytes(10, "big"))
    return encoded[:13].translate(_TO_CROCKFORD).decode("ascii")
