"""Judges schedules: plays each one and collects what is wrong with it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.session.enumeration.configurations import Configuration
from tests.session.enumeration.contract import JUDGES
from tests.session.enumeration.expectations import EXPECTATIONS
from tests.session.enumeration.play import play
from tests.session.enumeration.reach import unreached
from tests.session.enumeration.schedules import Product, Schedule
from tests.session.enumeration.steps import Step
from tests.session.enumeration.survey import survey
from tests.session.enumeration.trial import put_together


@dataclass(slots=True)
class Tally:
    """What came of some schedules."""

    schedules: int = 0
    impossible: Counter[str] = field(default_factory=Counter)
    """Combinations that cannot happen, by reason."""
    violations: list[str] = field(default_factory=list)


def judge(schedule: Schedule) -> Iterator[str]:
    """Play a schedule; yield what violates the contract or an expectation."""
    played = play(schedule)
    if not played.struck:
        yield f"{schedule}: the fault never struck"
    trial = put_together(played)
    for one in (*JUDGES, *EXPECTATIONS):
        for violation in one(trial):
            yield f"{schedule}: {one.__name__}: {violation}"


def enumerate_all(configuration: Configuration, tally: Tally) -> None:
    """Judge every schedule of a configuration."""
    _, reached = survey(configuration)
    for step in Step:
        reason = unreached(step, configuration)
        if (step in reached) == bool(reason):
            tally.violations.append(f"[{configuration}] {step}: reached {step in reached}, but the rules say: {reason}")
    product = Product(configuration, reached)
    for schedule in product.schedules():
        tally.schedules += 1
        tally.violations.extend(judge(schedule))
    tally.impossible += product.impossible
