"""Overload: who is turned away and when, that one bad second is none, and that honest mail is never shut out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.policy.overload import (
    FEWEST,
    LAST,
    SCARCE,
    STEADY,
    Because,
    Change,
    Level,
    Overload,
    OverloadSettings,
    Reading,
)

CALM, STRESSED, FULL = Level.CALM, Level.STRESSED, Level.FULL
MOST = 1000


class Day:
    """An overload that is told how busy it is, once a second."""

    def __init__(self, settings: OverloadSettings | None = None, most: int = MOST) -> None:
        self.overload = Overload(settings or OverloadSettings(), most)
        self.now = 0.0
        self.changes: list[Change] = []

    def goes(
        self,
        seconds: int,
        sessions: int = 500,
        *,
        lag: float = 0.0,
        memory: float | None = None,
        descriptors: int | None = None,
    ) -> Level:
        """So many seconds pass; -> the level then."""
        for _ in range(seconds):
            self.now += 1.0
            change = self.overload.take(Reading(self.now, sessions, lag, memory, descriptors))
            if change is not None:
                self.changes.append(change)
        return self.overload.level

    def steps(self) -> list[tuple[Level, Because]]:
        """The changes so far."""
        return [(change.level, change.because) for change in self.changes]


def test_a_calm_day() -> None:
    day = Day()
    assert day.goes(100, lag=0.9, memory=0.79, descriptors=SCARCE + 1) is CALM
    assert (day.changes, day.overload.room, day.overload.paused, day.overload.stress.on) == ([], 800, False, False)


@pytest.mark.parametrize(
    ("measure", "because"),
    [
        ({"lag": 1.0}, Because.LAG),
        ({"memory": 0.8}, Because.MEMORY),
        ({"descriptors": SCARCE}, Because.DESCRIPTORS),
    ],
)
def test_what_stays_bad_is_stress(measure: dict[str, float], because: Because) -> None:
    day = Day()
    assert day.goes(STEADY - 1, **measure) is CALM  # type: ignore[arg-type] # descriptors are whole
    assert day.goes(1, **measure) is STRESSED  # type: ignore[arg-type]
    assert day.steps() == [(STRESSED, because)]
    assert (day.overload.room, day.overload.paused, day.overload.stress.on) == (400, False, True)


@pytest.mark.parametrize("measure", [{"lag": 5.0}, {"memory": 0.9}, {"descriptors": LAST}])
def test_what_is_worse_stops_accepting(measure: dict[str, float]) -> None:
    day = Day()
    assert day.goes(STEADY, **measure) is FULL  # type: ignore[arg-type]
    assert day.overload.paused
    day.goes(STEADY)
    assert not day.overload.paused


def test_one_long_step_is_no_overload() -> None:
    day = Day()
    for _ in range(20):
        assert day.goes(1, lag=30.0) is CALM
        assert day.goes(STEADY - 1) is CALM
    assert day.changes == []


def test_a_flood_of_sessions_counts_at_once() -> None:
    day = Day()
    assert day.goes(1, 799) is CALM
    assert day.goes(1, 800) is STRESSED
    assert day.goes(1, 1000) is FULL
    assert day.steps() == [(STRESSED, Because.SESSIONS), (FULL, Because.SESSIONS)]
    assert not day.overload.paused  # who accepts counts sessions itself, and goes on with the next that ends


def test_strangers_leave_room_for_those_we_know() -> None:
    overload = Day().overload
    assert overload.admits(800, good=False)
    assert not overload.admits(801, good=False)
    assert overload.admits(1000, good=True)


def test_it_is_over_when_there_was_no_reason_for_long_enough() -> None:
    day = Day()
    day.goes(STEADY, lag=2.0)
    day.goes(20)
    day.goes(1, lag=2.0)  # one bad second: too few to begin with, and too few to go on
    assert day.goes(10) is STRESSED
    assert day.goes(1) is CALM
    assert day.steps() == [(STRESSED, Because.LAG), (CALM, Because.LAG)]
    assert not day.overload.stress.on


def test_a_reason_that_comes_back_starts_the_time_anew() -> None:
    day = Day()
    day.goes(1, 900)
    day.goes(20)
    day.goes(1, 900)
    assert day.goes(STEADY - 1 + 29) is STRESSED
    assert day.goes(1) is CALM


def test_full_becomes_stressed_before_it_becomes_calm() -> None:
    day = Day()
    day.goes(1, 1000)
    day.goes(60, 900)
    day.goes(60)
    assert [level for level, _ in day.steps()] == [FULL, STRESSED, CALM]


def test_the_room_follows_the_sessions_down_and_grows_again() -> None:
    day = Day()
    day.goes(STEADY, 500, lag=2.0)
    assert day.overload.room == 400
    day.goes(1, 450, lag=2.0)
    assert day.overload.room == 360
    day.goes(1, 470, lag=2.0)  # those we know come in as ever
    assert day.overload.room == 360
    day.goes(STEADY - 1, 470)
    assert day.overload.room == 360
    day.goes(1, 470)
    assert day.overload.room == 451
    day.goes(10, 470)
    assert day.overload.room == 800


@pytest.mark.parametrize("measure", [{"lag": 60.0}, {"memory": 1.0}, {"descriptors": 0}])
def test_nobody_is_turned_away_where_that_would_not_help(measure: dict[str, float]) -> None:
    """A neighbour who takes the processor, memory that does not come back: mail goes on, at FEWEST sessions."""
    day = Day()
    day.goes(100, 500, **measure)  # type: ignore[arg-type]
    assert day.overload.room == 400
    for sessions in (400, 300, 200, 100, 60, FEWEST):
        day.goes(100, sessions, **measure)  # type: ignore[arg-type]
    assert (day.overload.level, day.overload.paused) == (CALM, False)
    assert day.overload.admits(FEWEST, good=False)


def test_a_small_process_has_its_share_too() -> None:
    overload = Overload(OverloadSettings(), 10)
    assert [overload.admits(sessions, good=False) for sessions in (8, 9)] == [True, False]
    assert Overload(OverloadSettings(kept=0.9), 1).admits(1, good=False)


def test_nothing_kept_is_nobody_turned_away_for_sessions_alone() -> None:
    overload = Overload(OverloadSettings(kept=0.0), 10)
    assert overload.admits(10, good=False)


def test_the_line_counts_those_turned_away_since_the_last_one() -> None:
    day = Day()
    day.goes(1, 900)
    for _ in range(7):
        day.overload.admits(900, good=False)
    day.overload.admits(900, good=True)
    day.goes(60)
    day.goes(1, 900)
    assert [change.turned_away for change in day.changes] == [0, 7, 0]


def test_what_nobody_knows_is_no_reason() -> None:
    day = Day()
    assert day.goes(10, memory=None, descriptors=None) is CALM


_READINGS = st.lists(
    st.tuples(
        st.integers(0, MOST),
        st.floats(0, 100),
        st.none() | st.floats(0, 2),
        st.none() | st.integers(0, 1000),
    ),
    max_size=60,
)


@given(_READINGS)
def test_whatever_is_measured_few_sessions_are_always_let_in(
    readings: list[tuple[int, float, float | None, int | None]],
) -> None:
    overload = Overload(OverloadSettings(), MOST)
    level = CALM
    for number, (sessions, lag, memory, descriptors) in enumerate(readings):
        change = overload.take(Reading(float(number), sessions, lag, memory, descriptors))
        assert overload.admits(FEWEST, good=False)
        assert overload.admits(MOST, good=True)
        assert FEWEST <= overload.room <= 800
        assert not (overload.paused and sessions <= FEWEST)
        assert overload.stress.on is (overload.level > CALM)
        if change is not None:
            assert (change.before, change.level) == (level, overload.level)
            assert change.before is not change.level
        level = overload.level
