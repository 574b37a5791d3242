"""Ids of sessions: their form, their order, and that no two are alike."""

import random
import re
import time

from smtproxy.network.identity import session_id

_FORM = re.compile(r"[0-9a-hjkmnp-tv-z]{13}")


def test_an_id_can_be_read_over_the_telephone() -> None:
    for _ in range(1000):
        assert _FORM.fullmatch(session_id())


def test_ids_of_one_millisecond_differ() -> None:
    before = random.getstate()
    random.seed(4)  # With any seed two in a hundred meet once in 6,700 times.
    ids = [session_id() for _ in range(100)]
    random.setstate(before)
    assert len({one[8:] for one in ids}) == len(set(ids)) == 100


def test_ids_sort_by_time() -> None:
    """The first eight characters are the time of day in milliseconds, whatever is random behind them."""
    earlier = session_id()
    now = time.monotonic_ns()
    while time.monotonic_ns() - now < 2_000_000:
        pass
    assert earlier[:8] < session_id()[:8]
    assert earlier < session_id()
