"""Duty: no message larger than the listener's limit, by the size it declares and by the size it has. RFC 1870"""

from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.findings import Action, CheckSpec, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class SizeOptions:
    """The limit in octets: what EHLO promises."""

    max_message_size: int = 52428800


def size(options: SizeOptions, evidence: Evidence) -> Finding | None:
    """Find messages above the limit."""
    limit = options.max_message_size
    if evidence.stage is Stage.MAIL:
        declared = evidence.dialogue.declared_size
        if declared is not None and declared > limit:
            return Finding(Reason.DECLARED_TOO_LARGE, {"declared": declared}, str(limit), Action.REJECT)
        return None
    message = evidence.dialogue.message
    if message is not None and message.size > limit:
        return Finding(Reason.TOO_LARGE, {"size": message.size}, str(limit), Action.REJECT)
    return None


CHECK = CheckSpec("size", frozenset({Stage.MAIL, Stage.MESSAGE}), SizeOptions, size, duty=True)
