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
    hurried: int = 3
    """In place of `hard`, where it is less, for clients without a good record while we have too much to do."""


def protocol_errors(options: ProtocolErrorsOptions, evidence: Evidence) -> Finding | None:
    """Find clients with too many errors."""
    errors, hurried = evidence.dialogue.errors, evidence.dialogue.hurried
    if errors > options.hard or (hurried and errors > options.hurried):
        saw = {"errors": errors, "hurried": True} if hurried else {"errors": errors}
        return Finding(Reason.ERRORS_HARD, saw, action=Action.DROP)
    if errors > options.soft:
        return Finding(Reason.ERRORS_SOFT, {"errors": errors}, action=Action.OBSERVE, delay=options.delay)
    return None


CHECK = CheckSpec("protocol_errors", frozenset({Stage.PROTOCOL}), ProtocolErrorsOptions, protocol_errors, duty=True)
