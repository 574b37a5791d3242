"""Judgement: clients and senders' domains that a person has blocked (`smtproxy reputation block`).

Said at CONNECT unless `early` is false: who is blocked is known by its address alone; with `at = "accept"` it is not
even greeted. A domain counts at MAIL, proven or not: who names one that is blocked has nothing to gain by it. What was
learned is the matter of `reputation`.
"""

from dataclasses import dataclass

from smtproxy.policy.evidence import NOBODY_ASKED, Evidence, Known
from smtproxy.policy.facts import REPUTATION, SENDER_REPUTATION
from smtproxy.policy.findings import CannotTell, CheckSpec, Finding, Outcome
from smtproxy.policy.replies import TABLE, Reason, Wording
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class BlockedOptions:
    """What the check itself does is always the same: a person has said it all."""

    at: str = "connect"
    """When a client hears of it: connect, or accept (never: it is closed with a reset). The listener's business."""


def blocked(_options: BlockedOptions, evidence: Evidence) -> Outcome:
    """Find those whom a person has blocked."""
    for key in (REPUTATION, SENDER_REPUTATION):
        fact = evidence.get(key)
        if isinstance(fact, Known):
            known = fact.value
            if known.blocked:
                saw = {"blocked": known.blocked, "set_by": known.set_by, "until": known.until}
                if known.reason:
                    saw["why"] = known.reason
                return Finding(Reason.BLOCKED, saw, wording=_wording(known.blocked, known.reason))
        elif fact.reason not in NOBODY_ASKED:
            return CannotTell(key.name, fact.reason)
    return None


def _wording(name: str, reason: str) -> Wording:
    """Return the reply with a person's words in it: these may have blanks, which a detail may not."""
    usual = TABLE[Reason.BLOCKED]
    said = f"{name} ({reason})" if reason else name
    return Wording(usual.code, usual.enhanced, usual.text.replace("{}", said.encode("ascii", "replace").decode()))


CHECK = CheckSpec(
    "blocked",
    frozenset({Stage.CONNECT, Stage.MAIL}),
    BlockedOptions,
    blocked,
    needs=(REPUTATION, SENDER_REPUTATION),
)
