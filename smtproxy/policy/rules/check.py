"""A rule as a check: what it finds where its expression is true. Always a judgement, never a duty."""

from dataclasses import dataclass
from typing import Final

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.findings import CheckSpec, Finding, Outcome
from smtproxy.policy.replies import Reason, Wording
from smtproxy.policy.rules.expressions import Expression
from smtproxy.session.verdicts import Stage

PREFIX: Final = "rule:"
"""In front of a rule's name where it stands among those of checks."""


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """One rule."""

    when: Expression
    wording: Wording
    """What a client hears where it refuses."""
    listener: str = ""
    """Name of the listener, which an expression may ask for."""


def rule(options: RuleOptions, evidence: Evidence) -> Outcome:
    """Find what the expression describes."""
    holds = options.when.holds(evidence, options.listener)
    if isinstance(holds, bool):
        return Finding(Reason.RULE, wording=options.wording) if holds else None
    return holds


def rule_check(name: str, stage: Stage, when: Expression) -> CheckSpec:
    """Return the declaration of a rule's check."""
    return CheckSpec(PREFIX + name, frozenset({stage}), RuleOptions, rule, needs=when.needs)
