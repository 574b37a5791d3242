"""The figures of the benchmark: ratios inside a round, dashes for what was not measured, goals that need their peer."""

import pytest

from bench import scenarios, table
from bench.goals import goals
from bench.peers import AUTO, DIRECT, HAPROXY, POSTFIX
from bench.results import Results, typical
from bench.scenarios import Sizes


def test_a_ratio_is_taken_inside_a_round() -> None:
    results = Results()
    for turn, (ours, theirs) in enumerate([(1.0, 1.0), (4.0, 2.0), (9.0, 3.0)]):
        results.put("CPU", AUTO, ours, turn)
        results.put("CPU", POSTFIX, theirs, turn)
    assert results.ratios("CPU", AUTO, POSTFIX) == [1.0, 2.0, 3.0]


def test_a_round_without_the_peer_gives_no_ratio() -> None:
    results = Results()
    results.put("CPU", AUTO, 1.0, 0)
    results.put("CPU", AUTO, 2.0, 1)
    results.put("CPU", POSTFIX, 4.0, 1)
    results.put("CPU", HAPROXY, 0.0, 1)
    assert results.ratios("CPU", AUTO, POSTFIX) == [0.5]
    assert results.ratios("CPU", AUTO, HAPROXY) == []
    assert results.ratios("CPU", DIRECT, POSTFIX) == []
    assert typical([]) is None


@pytest.mark.parametrize(
    ("values", "digits", "text"),
    [
        ([], 2, "-"),
        ([0.5], 2, "0.50"),
        ([3.0, 1.0, 2.0], 1, "2.0 [1.0-3.0]"),
        ([7.0, 7.0], 0, "7"),
    ],
)
def test_a_cell_is_the_median_with_its_spread(values: list[float], digits: int, text: str) -> None:
    assert table.cell(values, digits) == text


def test_a_missing_peer_is_called_missing() -> None:
    results = Results()
    results.put(scenarios.RATE, DIRECT, 1000.0)
    head, first, *_ = table.grid(results, {HAPROXY: "not installed"}, Sizes())
    row = dict(zip(head, first, strict=True))
    assert (row[DIRECT], row[HAPROXY], row[AUTO]) == ("1000", "missing", "-")


def test_the_table_is_markdown() -> None:
    assert table.markdown([["", "a"], ["long", "1"]]) == "|      | a |\n| ---- | - |\n| long | 1 |\n"


def test_a_goal_is_not_met_without_its_peer() -> None:
    results = Results()
    results.put(scenarios.CPU_NEW, AUTO, 0.1)
    results.put(scenarios.REFUSED_CONNECTIONS, AUTO, 0)
    cpu, connections = [goal for goal in goals(results, Sizes()) if goal.due]
    assert not cpu.met
    assert connections.met
    results.put(scenarios.CPU_NEW, POSTFIX, 0.1)
    assert next(iter(goals(results, Sizes()))).met


def test_one_backend_connection_in_one_round_breaks_the_goal() -> None:
    results = Results()
    for turn, number in enumerate([0, 1, 0]):
        results.put(scenarios.REFUSED_CONNECTIONS, AUTO, number, turn)
    (goal,) = [goal for goal in goals(results, Sizes()) if "backend connections" in goal.what]
    assert not goal.met
