"""Findings and what may follow. A check finds; configuration says what is done; a duty has its answer fixed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.values import value


@hashed_by_identity
class Action(Enum):
    """What follows from a finding, from the mildest to the hardest."""

    OFF = "off"
    OBSERVE = "observe"
    TARPIT = "tarpit"
    DEFER = "defer"
    REJECT = "reject"
    DROP = "drop"


@hashed_by_identity
class OnError(Enum):
    """What follows when a judgement could not be made."""

    PASS = "pass"  # noqa: S105 - a word of the configuration, no password
    DEFER = "defer"


@value
class Finding:
    """What a check saw."""

    reason: Reason
    saw: Mapping[str, object] = field(default_factory=dict)
    """The facts it used, for the log."""
    detail: str = ""
    """Goes into the reply where its text has a place for it."""
    action: Action | None = None
    """Set by duties only, whose answer is not a matter of configuration. None: as configured (a duty: reject)."""
    delay: float = 0.0
    """Seconds the answer is to be delayed."""


Run: TypeAlias = Callable[[Any, Evidence], Finding | None]


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """The declaration of a check: one literal per file in `policy/checks/`."""

    name: str
    stages: frozenset[Stage]
    """When it is asked."""
    options: type[Any]
    """Its options: a frozen data class."""
    run: Run
    """A pure function: no I/O, no clock but the evidence's."""
    duty: bool = False
    """Duties are never lifted by an exemption, a score, an override, an allow list or `observe`."""
    needs: tuple[str, ...] = ()
    """Fact keys it wants to know."""
