"""Duty: patience with clients that make errors has an end. Postfix: smtpd_soft_error_limit, smtpd_hard_error_limit."""

from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.findings import Action, CheckSpec, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class ProtocolErrorsOptions:
    """Errors of one session."""

    soft: int = 10
    """Above this each answer to an error is delayed."""
    hard: int = 20
    """Above this the session ends."""
    delay: float = 1.0
    """Seconds."""


def protocol_errors(options: ProtocolErrorsOptions, evidence: Evidence) -> Finding | None:
    """Find clients with too many errors."""
    errors = evidence.dialogue.errors
    if errors > options.hard:
        return Finding(Reason.ERRORS_HARD, {"errors": errors}, action=Action.DROP)
    if errors > options.soft:
        return Finding(Reason.ERRORS_SOFT, {"errors": errors}, action=Action.OBSERVE, delay=options.delay)
    return None


CHECK = CheckSpec("protocol_errors", frozenset({Stage.PROTOCOL}), ProtocolErrorsOptions, protocol_errors, duty=True)
