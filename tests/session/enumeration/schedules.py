"""The schedules: the product of configuration, step and fault, without what cannot happen, counted by its reason."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from smtproxy.session.settings import BodyMode
from tests.session.enumeration.configurations import Body, Configuration
from tests.session.enumeration.faults import SCRIPTED, UNASKED, VANISHED, Fault, impossible
from tests.session.enumeration.reach import same_elsewhere, unreached
from tests.session.enumeration.steps import Kind, Step

_OPENING = (Step.GREETING, Step.EHLO, Step.STARTTLS, Step.EHLO_AGAIN)


@dataclass(frozen=True, slots=True)
class Schedule:
    """One session: what goes wrong, where, and under which settings."""

    configuration: Configuration
    step: Step | None = None
    fault: Fault = Fault.NONE

    @property
    def scripted(self) -> bool:
        """The fault is something the backend does where a reply is due."""
        return self.step is not None and self.step.kind is Kind.REPLY and self.fault in SCRIPTED

    def __str__(self) -> str:
        return f"[{self.configuration}] {self.step}: {self.fault}"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a session without a fault looks like when it comes to a step."""

    connected: bool
    """There is a connection to the backend."""
    idle: bool
    """It has nothing to do, and may be given back."""


@dataclass(slots=True)
class Product:
    """The whole product under one configuration."""

    configuration: Configuration
    reached: dict[Step, Circumstances]
    """The steps that a session without a fault came to."""
    impossible: Counter[str] = field(default_factory=Counter)

    def schedules(self) -> Iterator[Schedule]:
        """Yield what can happen; count what cannot."""
        yield Schedule(self.configuration)
        for step in Step:
            for fault in Fault:
                if fault is Fault.NONE:
                    continue
                schedule = Schedule(self.configuration, step, fault)
                reason = self.reason(schedule, step)
                if reason is None:
                    yield schedule
                else:
                    self.impossible[reason] += 1

    def reason(self, schedule: Schedule, step: Step) -> str | None:
        """Return why a schedule cannot happen; None: it can."""
        reason = impossible(step, schedule.fault) or same_elsewhere(step, self.configuration)
        if reason is not None:
            return reason
        if schedule.scripted:
            # The backend answers each of its commands, even where the relay does not wait for this one alone.
            never = (*_OPENING, Step.DATA, Step.CHUNK)
            return unreached(step, self.configuration) if step in never else None
        return unreached(step, self.configuration) or self._idle(step, schedule.fault)

    def _idle(self, step: Step, fault: Fault) -> str | None:
        """Return why a fault would meet nothing at this step."""
        here, body = self.reached[step], self.configuration.body
        if step.kind in (Kind.CLIENT, Kind.VERDICT):
            if fault in UNASKED or fault in VANISHED:
                return None if here.connected else "no connection to the backend is open here"
            if fault is Fault.LEASE:
                return None if here.idle else "no idle connection to the backend is held here"
        if fault is Fault.DISK_FULL and body is not Body.HOLD_DISK:
            return "nothing of the body is written to disk"
        if fault is Fault.MEMORY_FULL and body.mode is BodyMode.STREAM:
            return "nothing of the body is kept in memory"
        return None
