"""The arithmetic: a burst, then one after another; halves; and a clock that jumps."""

import math

import pytest

from smtproxy.stores import arithmetic
from smtproxy.stores.store import Rate

NOW = 1_790_000_000.0
RATE = Rate(amount=60, period=60, burst=5)


def test_a_burst_then_one_each_interval() -> None:
    empty_at = 0.0
    for number in range(5):
        taken, empty_at = arithmetic.take(RATE, empty_at, NOW, 1.0)
        assert taken.allowed
        assert taken.left == pytest.approx(4 - number)
    taken, same = arithmetic.take(RATE, empty_at, NOW, 1.0)
    assert (taken.allowed, same) == (False, empty_at)
    assert taken.wait == pytest.approx(1.0)
    taken, _ = arithmetic.take(RATE, empty_at, NOW + 1.0, 1.0)
    assert taken.allowed


def test_more_than_a_burst_is_never_allowed() -> None:
    taken, _ = arithmetic.take(RATE, 0.0, NOW, 5.5)
    assert (taken.allowed, taken.wait, taken.left) == (False, math.inf, 5.0)


def test_the_whole_of_an_odd_rate_can_be_had() -> None:
    rate, empty_at = Rate(7, 60, 7), 0.0
    for _ in range(7):
        taken, empty_at = arithmetic.take(rate, empty_at, NOW, 1.0)
        assert taken.allowed
    assert not arithmetic.take(rate, empty_at, NOW, 1.0)[0].allowed


def test_after_a_jump_back_a_bucket_blocks_no_longer_than_a_burst() -> None:
    taken, empty_at = arithmetic.take(RATE, NOW + 86400, NOW, 1.0)
    assert (taken.allowed, taken.wait, taken.left) == (False, 1.0, 0.0)
    assert empty_at == NOW + 5.0


def test_what_is_charged_after_the_fact_fills_a_bucket_and_no_more() -> None:
    assert arithmetic.charge(RATE, 0.0, NOW, 2.0) == NOW + 2.0
    assert arithmetic.charge(RATE, NOW + 4.0, NOW, 2.0) == NOW + 5.0
    assert arithmetic.level(NOW + 4.0, NOW, 1.0) == 4.0


@pytest.mark.parametrize("value", [0.5, 1.0, 3.0, 1e9])
def test_a_counter_halves(value: float) -> None:
    end = arithmetic.nothing_at(value, NOW, 600.0)
    assert arithmetic.worth(end, NOW, 600.0) == pytest.approx(value, rel=1e-6)
    assert arithmetic.worth(end, NOW + 600.0, 600.0) == pytest.approx(value / 2, rel=1e-6)


def test_next_to_nothing_is_nothing() -> None:
    assert arithmetic.nothing_at(0.0, NOW, 600.0) == NOW
    assert arithmetic.worth(NOW, NOW, 600.0) == 0.0
    assert math.isfinite(arithmetic.worth(NOW + 1e9, NOW, 1.0))
