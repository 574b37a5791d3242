"""Plays every schedule of the fault enumeration in memory; `python -m tests.session.enumeration` prints the numbers."""

import pytest

from tests.session.enumeration.configurations import Configuration, configurations
from tests.session.enumeration.verdict import Tally, enumerate_all

_SHOWN = 8
_AT_LEAST = 20_000
"""Schedules: fewer would mean that a rule of impossibility swallows what it should not."""


@pytest.fixture(scope="module")
def total() -> Tally:
    """Count over all configurations."""
    return Tally()


@pytest.mark.parametrize("configuration", tuple(configurations()), ids=str)
def test_the_contract_holds_whatever_goes_wrong(configuration: Configuration, total: Tally) -> None:
    tally = Tally()
    enumerate_all(configuration, tally)
    total.add(tally)
    shown = "\n".join(tally.violations[:_SHOWN])
    assert not tally.violations, f"{len(tally.violations)} violations in {tally.schedules} schedules:\n{shown}"


def test_nothing_was_skipped_in_silence(total: Tally, request: pytest.FixtureRequest) -> None:
    if total.schedules < _AT_LEAST and request.config.getoption("keyword"):
        pytest.skip("only a part of the enumeration was asked for")
    print(f"\n{total.schedules} schedules, {sum(total.impossible.values())} impossible combinations")
    assert total.schedules >= _AT_LEAST
