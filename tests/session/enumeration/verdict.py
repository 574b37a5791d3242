"""Judges schedules: plays each one and collects what is wrong with it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.session.enumeration.configurations import Configuration
from tests.session.enumeration.contract import JUDGES
from tests.session.enumeration.expectations import EXPECTATIONS
from tests.session.enumeration.faults import Fault
from tests.session.enumeration.known import KNOWN
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
    known: Counter[tuple[Step, Fault, str]] = field(default_factory=Counter)
    """Violations that are on the list, by their entry there."""

    def add(self, other: "Tally") -> None:
        """Count what another one counted."""
        self.schedules += other.schedules
        self.impossible += other.impossible
        self.violations += other.violations
        self.known += other.known


def judge(schedule: Schedule) -> Iterator[tuple[str, str]]:
    """Play a schedule; yield what violates the contract or an expectation, each with the name of its judge."""
    played = play(schedule)
    if not played.struck:
        yield "play", "the fault never struck"
    trial = put_together(played)
    for one in (*JUDGES, *EXPECTATIONS):
        for violation in one(trial):
            yield one.__name__, violation


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
        for name, violation in judge(schedule):
            entry = (schedule.step, schedule.fault, name)
            if entry in KNOWN:
                tally.known[entry] += 1
            else:
                tally.violations.append(f"{schedule}: {name}: {violation}")
    tally.impossible += product.impossible
