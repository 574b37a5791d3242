"""How many connections a server is given: before model servers that are slow in different ways."""

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from smtproxy.policy.admission import (
    FEWEST,
    HOLD,
    LONGEST_WINDOW,
    RAISE_AFTER,
    Admission,
    AdmissionSettings,
    Because,
)

LIMIT = 16
Server = Callable[[int, float], float]
"""Seconds that an answer takes, by the number of connections and the time."""


@dataclass(frozen=True)
class Run:
    """What came of it."""

    rate: float
    ceilings: Sequence[int]


def run(server: Server, *, fixed: int = 0, seconds: int = 300, demand: float = 0.0) -> Run:
    """Let mail come (`demand` a second; 0: more than anybody could take) before a server, adapted or with a `fixed`
    ceiling.
    """
    lots = random.Random(1)
    admission, ceiling = Admission(AdmissionSettings()), fixed or LIMIT
    now, tick, arrival, done, line = 0.0, 1.0, 0.0, 0, 0
    busy: list[tuple[float, float]] = []
    ceilings: list[int] = []
    while now < seconds:
        while len(busy) < ceiling and (line or not demand):
            line -= bool(demand)
            took = server(len(busy) + 1, now) * lots.uniform(0.7, 1.3)
            heapq.heappush(busy, (now + took, took))
        now = min(tick, busy[0][0] if busy else seconds, arrival if demand else seconds)
        if now == tick:
            tick += 1.0
            if not fixed:
                waiting = line > 0 or not demand
                ceiling = admission.next_ceiling(now, ceiling, LIMIT, len(busy), waiting=waiting)
            ceilings.append(ceiling)
        elif demand and now == arrival:
            line += 1
            arrival += lots.expovariate(demand)
        elif busy:
            _, took = heapq.heappop(busy)
            done += 1
            admission.answered(1, [took])
    return Run(done / seconds, ceilings)


def quick(_held: int, _now: float) -> float:
    """A server with nothing to do."""
    return 0.05


def growing(_held: int, now: float) -> float:
    """Slower and slower, whatever we do."""
    return 0.05 + 3 * now / 300


def sudden(_held: int, now: float) -> float:
    """Slow after a minute, whatever we do: a scanner, say."""
    return 0.05 if now < 60 else 2.0


def narrow(held: int, _now: float) -> float:
    """Four at once; more of them wait for each other."""
    return 0.1 * max(1, held / 4)


def thrashing(held: int, now: float) -> float:
    """The same, and each one more makes it slower for all."""
    return narrow(held, now) * (1 + 0.15 * max(0, held - 4))


def shrinking(held: int, now: float) -> float:
    """Twelve at once, and after a minute three."""
    return 0.1 * max(1, held / 12) if now < 60 else 0.1 * max(1, held / 3) * (1 + 0.1 * max(0, held - 3))


@pytest.mark.parametrize("server", [quick, growing, sudden, narrow, thrashing, shrinking])
def test_as_much_mail_gets_through_as_with_the_best_ceiling(server: Server) -> None:
    best = max(run(server, fixed=ceiling).rate for ceiling in range(1, LIMIT + 1))
    assert run(server).rate >= 0.9 * best


@pytest.mark.parametrize(("server", "most"), [(narrow, 6), (thrashing, 6), (shrinking, 5)])
def test_a_server_that_has_too_much_to_do_gets_less(server: Server, most: int) -> None:
    assert max(run(server).ceilings[120:]) <= most


@pytest.mark.parametrize("server", [quick, growing, sudden])
def test_a_server_that_is_slow_by_itself_keeps_its_connections(server: Server) -> None:
    ceilings = run(server).ceilings
    assert sum(one == LIMIT for one in ceilings) >= 0.75 * len(ceilings)


def test_while_nobody_waits_nothing_is_tried() -> None:
    assert set(run(quick, demand=100.0).ceilings) == {LIMIT}


def judged(number: int, pace: float = 0.1) -> Admission:
    """What is known behind a window of this many answers."""
    admission = Admission(AdmissionSettings())
    admission.answered(number, [pace] * number)
    return admission


def test_what_the_server_says_counts_at_once() -> None:
    admission = judged(0)
    admission.strained()
    assert admission.next_ceiling(0.1, 16, 16, 10, waiting=False) == 5
    assert admission.because is Because.STRAINED
    assert admission.next_ceiling(0.2, 5, 16, 5, waiting=False) == 5


@pytest.mark.parametrize(("ceiling", "limit", "least"), [(3, 16, 2), (2, 16, 2), (1, 1, 1)])
def test_there_is_a_floor(ceiling: int, limit: int, least: int) -> None:
    admission = judged(0)
    for _ in range(3):
        admission.strained()
        ceiling = admission.next_ceiling(1.0, ceiling, limit, ceiling, waiting=True)
    assert ceiling == least


def test_a_lowered_ceiling_rises_where_nobody_needs_it() -> None:
    admission = judged(0)
    admission.changed(0.0)
    ceiling, seen = 4, []
    for second in range(1, 60):
        ceiling = admission.next_ceiling(float(second), ceiling, 6, 0, waiting=False)
        seen.append(ceiling)
    assert seen.count(4) >= RAISE_AFTER - 1
    assert seen.count(5) >= RAISE_AFTER - 1
    assert ceiling == 6


def test_a_new_limit_counts_at_once() -> None:
    assert judged(0).next_ceiling(0.1, 16, 4, 16, waiting=True) == 4


def test_few_answers_tell_nothing() -> None:
    admission = judged(FEWEST - 1, pace=100.0)
    assert admission.next_ceiling(LONGEST_WINDOW, 16, 16, 16, waiting=True) == 16
    assert admission.usual is None


def test_a_trial_in_vain_is_not_repeated_at_once() -> None:
    admission, now, ceiling = judged(100), 1.0, 16
    ceiling = admission.next_ceiling(now, ceiling, 16, 16, waiting=True)
    assert (ceiling, admission.because) == (12, Because.TRIAL)
    admission.answered(75, [0.1] * 75)
    ceiling = admission.next_ceiling(now + 1, ceiling, 16, 12, waiting=True)
    assert (ceiling, admission.because) == (16, Because.BACK)
    for second in range(2, round(HOLD)):
        admission.answered(100, [0.1] * 100)
        assert admission.next_ceiling(now + second, 16, 16, 16, waiting=True) == 16
