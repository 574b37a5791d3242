"""Findings and what may follow. A check finds; configuration says what is done; a duty has its answer fixed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.facts import Key
from smtproxy.policy.replies import Reason, Wording
from smtproxy.session.verdicts import Stage
from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.values import value


@hashed_by_identity
class Action(Enum):
    """What follows from a finding, from the mildest to the hardest."""

    OFF = "off"
    OBSERVE = "observe"
    SCORE = "score"
    """Adds its weight; the sum is compared with the thresholds of [score]."""
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
    """Seconds the answer is to be delayed, whatever the action is."""
    tarpit: float | None = None
    """Seconds of the action `tarpit`, where it follows; None: those of [tarpit]."""
    wording: Wording | None = None
    """Words of its own (a rule of the configuration); None: those of its reason."""
    points: float = 1.0
    """What the check's weight is multiplied with where its action is `score`."""


@value
class CannotTell:
    """A judgement could not be made, as a fact it needs is unknown. Its `on_error` says what follows."""

    fact: str
    """Name of the fact."""
    why: str
    """The reason that the fact gives."""


Outcome: TypeAlias = Finding | CannotTell | None
"""What a check says; None: nothing was found."""

Run: TypeAlias = Callable[[Any, Evidence], Outcome]


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
    needs: tuple[Key[Any], ...] = ()
    """Facts it reads; the judge waits for them, and no longer than their deadline."""
    lists: bool = False
    """It believes what lists of others say: postmaster@ and abuse@ are exempt by default."""
