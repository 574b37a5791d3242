"""Judgement: clients in the penalty box, where they were put for what became of their mail before.

Learned from refusals and unknown recipients of clients that never had a mail delivered (`policy/reputation.py`); lifted
by time, by `smtproxy reputation forgive`, and by a person's `allow`. Said at CONNECT unless `early` is false.
"""

from dataclasses import dataclass

from smtproxy.policy.evidence import NOBODY_ASKED, Evidence, Known
from smtproxy.policy.facts import REPUTATION
from smtproxy.policy.findings import CannotTell, CheckSpec, Finding, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class ReputationOptions:
    """There are none here: when a client goes to the box is said by `ReputationSettings`."""


def reputation(_options: ReputationOptions, evidence: Evidence) -> Outcome:
    """Find clients in the penalty box."""
    fact = evidence.get(REPUTATION)
    if not isinstance(fact, Known):
        return None if fact.reason in NOBODY_ASKED else CannotTell(REPUTATION.name, fact.reason)
    known = fact.value
    if not known.penalty:
        return None
    saw = {"penalty": known.penalty, "set_by": "smtproxy", "until": known.penalty_until, "badness": known.badness}
    return Finding(Reason.PENALTY, saw, evidence.dialogue.client)


CHECK = CheckSpec("reputation", frozenset({Stage.CONNECT}), ReputationOptions, reputation, needs=(REPUTATION,))
