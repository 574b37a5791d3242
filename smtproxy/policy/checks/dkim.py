"""Judgement: DKIM signatures of which none is right, or that are odd in themselves. RFC 6376

A broken signature is to be treated as none (RFC 6376 6.3): mailing lists break them every day. So it observes by
default; what DKIM proves counts in `dmarc`, `own_sender` and exemptions.
"""

from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence, Unknown
from smtproxy.policy.facts import DKIM
from smtproxy.policy.findings import CannotTell, CheckSpec, Finding, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class DkimOptions:
    """What it finds."""

    broken: bool = True
    """There are signatures, and none passes."""
    partial: bool = False
    """The only ones that pass leave the end of the body unsigned."""
    many: bool = True
    """More than are looked at."""


def dkim(options: DkimOptions, evidence: Evidence) -> Outcome:
    """Find messages with signatures that are worth nothing."""
    fact = evidence.get(DKIM)
    if isinstance(fact, Unknown):
        return CannotTell(DKIM.name, fact.reason)
    found = fact.value.found
    if options.many and fact.value.more:
        return Finding(Reason.DKIM_MANY, {"signatures": len(found) + fact.value.more}, str(len(found)))
    if not found:
        return None
    passing = [one for one in found if one.result == "pass"]
    saw = {"domains": tuple(one.domain for one in found), "results": tuple(one.result for one in found)}
    if not passing:
        if any(one.result == "temperror" for one in found):
            return CannotTell(DKIM.name, "temperror")
        return Finding(Reason.DKIM_BROKEN, saw, found[0].domain) if options.broken else None
    if options.partial and all(one.partial for one in passing):
        return Finding(Reason.DKIM_PARTIAL, saw, passing[0].domain)
    return None


CHECK = CheckSpec("dkim", frozenset({Stage.MESSAGE}), DkimOptions, dkim, needs=(DKIM,))
