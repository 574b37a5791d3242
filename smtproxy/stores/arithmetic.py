"""The arithmetic of limits and counters: each is one number, the time at which nothing is left of it.

So whoever changes one writes one aligned number, which the machine writes whole. A limit is a bucket that leaks evenly
(GCRA): the time at which it will be empty. A counter that decays is what it is worth now, and so the time at which it
will be worth `NOTHING`. Pure; times are seconds since 1970.

After a jump of the clock backwards a bucket never looks fuller than full, so it blocks no longer than a burst does.
"""

import math

from smtproxy.stores.store import Rate, Taken

NOTHING = 0.001
"""A counter below this is 0. It takes ten half-lives to get there from 1."""
SLACK = 0.01
"""Of a unit: sixty sixtieths of a minute are no minute to the last bit, and a time of today has 2e-7 s to a bit."""


def take(rate: Rate, empty_at: float, now: float, cost: float) -> tuple[Taken, float]:
    """Return what becomes of a wish, and when the bucket is empty if it is granted; `empty_at` of a new one: 0."""
    full = rate.burst * rate.interval
    level = min(max(empty_at - now, 0.0), full)
    after = level + cost * rate.interval
    if after <= full + SLACK * rate.interval:
        return Taken(allowed=True, wait=0.0, left=max(full - after, 0.0) / rate.interval), now + after
    wait = after - full if cost <= rate.burst else math.inf
    return Taken(allowed=False, wait=wait, left=(full - level) / rate.interval), now + level


def charge(rate: Rate, empty_at: float, now: float, cost: float) -> float:
    """Return when a bucket is empty that something was taken from, whether it was there or not; it is at most full."""
    full = rate.burst * rate.interval
    return now + min(min(max(empty_at - now, 0.0), full) + cost * rate.interval, full)


def level(empty_at: float, now: float, interval: float) -> float:
    """Return the units in a bucket."""
    return max(empty_at - now, 0.0) / interval


def worth(nothing_at: float, now: float, half_life: float) -> float:
    """Return what a counter is worth now."""
    if nothing_at <= now:
        return 0.0
    # 1000 half-lives: far above any number that is meant, far below what cannot be written.
    return float(NOTHING * 2.0 ** min((nothing_at - now) / half_life, 1000.0))


def nothing_at(value: float, now: float, half_life: float) -> float:
    """Return when a counter that has a value now will be worth nothing."""
    return now + half_life * math.log2(value / NOTHING) if value > NOTHING else now
