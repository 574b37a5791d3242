"""Plays every schedule of the fault enumeration in memory; `python -m tests.session.enumeration` prints the numbers."""

import pytest

from tests.session.enumeration.configurations import Configuration, configurations
from tests.session.enumeration.schedules import Product
from tests.session.enumeration.survey import survey
from tests.session.enumeration.verdict import Tally, enumerate_all

_SHOWN = 8
_AT_LEAST = 20_000
"""Schedules: fewer would mean that a rule of impossibility swallows what it should not."""


@pytest.mark.parametrize("configuration", tuple(configurations()), ids=str)
def test_the_contract_holds_whatever_goes_wrong(configuration: Configuration) -> None:
    tally = Tally()
    enumerate_all(configuration, tally)
    shown = "\n".join(tally.violations[:_SHOWN])
    assert not tally.violations, f"{len(tally.violations)} violations in {tally.schedules} schedules:\n{shown}"


def test_nothing_was_skipped_in_silence() -> None:
    """Counted without playing, so that it needs no other test to have run."""
    schedules, impossible = 0, 0
    for configuration in configurations():
        _, reached = survey(configuration)
        product = Product(configuration, reached)
        schedules += sum(1 for _ in product.schedules())
        impossible += sum(product.impossible.values())
    print(f"\n{schedules} schedules, {impossible} impossible combinations")
    assert schedules >= _AT_LEAST
