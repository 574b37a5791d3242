"""Duty: mail that goes in circles. RFC 5321 6.3 asks for a limit of at least 100 hops, Postfix stops at 50
(hopcount_limit), Exchange at 30 (MaxHopCount), with a bounce: in front of one, `max_received` below 30 refuses in time.
"""

from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.findings import Action, CheckSpec, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class LoopsOptions:
    """How many Received fields a message may have."""

    max_received: int = 50


def loops(options: LoopsOptions, evidence: Evidence) -> Finding | None:
    """Find messages with too many Received fields."""
    message = evidence.dialogue.message
    if message is None or message.received <= options.max_received:
        return None
    return Finding(Reason.MAIL_LOOP, {"received": message.received}, str(options.max_received), Action.REJECT)


CHECK = CheckSpec("loops", frozenset({Stage.MESSAGE}), LoopsOptions, loops, duty=True)
