"""The table of the flood: what is called met, and what is not."""

import math
from dataclasses import replace

import pytest

from bench.client import Sessions
from bench.flood import HEAD, Row
from bench.flood_client import Seen

ALONE = Sessions([2.0] * 100, 0)
ROW = Row("smtproxy", ALONE, Sessions([40.0] * 100, 0), 5000, 9.0, 0.03, 0.9, 0.1, Seen(10.0, refused=3000), 0)


def test_each_column_has_its_cell() -> None:
    assert len(ROW.cells()) == len(HEAD)
    assert ROW.cells()[1:3] == ["2.0 / 2.0 ms (100)", "40.0 / 40.0 ms (100)"]
    assert replace(ROW, flooded=Sessions([], 2, "closed")).cells()[2] == "none, 2 failed"


def test_the_bar_is_twice_the_time_without_a_flood_or_fifty_milliseconds() -> None:
    assert ROW.bar == 50.0
    assert math.isclose(replace(ROW, alone=Sessions([30.0] * 100, 0)).bar, 60.0)


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (ROW, True),
        (replace(ROW, flooded=Sessions([51.0] * 100, 0)), False),
        (replace(ROW, flooded=Sessions([], 0)), False),
        (replace(ROW, flooded=Sessions([2.0], 1, "closed")), False),
        (replace(ROW, strangers=1), False),
        (replace(ROW, seen=Seen(10.0, accepted=1)), False),
    ],
    ids=["met", "late", "not served", "one failed", "a stranger at the backend", "a recipient accepted"],
)
def test_the_bar_is_met_by_who_serves_all_and_nobody_else(row: Row, met: bool) -> None:
    assert row.met is met
