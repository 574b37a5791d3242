"""Judgement: mail that fails DMARC, and whose domain in From asks for it to be refused (or quarantined). RFC 9989

Mailing lists make honest mail fail: a chain of ARC whose newest sealer is trusted, and says that it passed there, is an
excuse. A From with several domains is exempt (RFC 9989 5.3.1); the check `header` finds it.
"""

from dataclasses import dataclass, replace

from smtproxy.policy.evidence import Evidence, Unknown
from smtproxy.policy.facts import ARC, DMARC
from smtproxy.policy.findings import CannotTell, CheckSpec, Finding, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class DmarcOptions:
    """What it finds, and whom it believes."""

    reject: bool = True
    quarantine: bool = False
    trusted_sealers: tuple[str, ...] = ()
    """Domains in the form of `domain_key`."""


def dmarc(options: DmarcOptions, evidence: Evidence) -> Outcome:
    """Find forged authors."""
    fact = evidence.get(DMARC)
    if isinstance(fact, Unknown):
        return CannotTell(DMARC.name, fact.reason)
    found = fact.value
    if found.result == "temperror":
        return CannotTell(DMARC.name, "temperror")
    wanted = {"reject": options.reject, "quarantine": options.quarantine}.get(found.policy, False)
    if found.result != "fail" or not wanted:
        return None
    excused = _excused(options, evidence)
    if isinstance(excused, CannotTell):
        return excused
    if excused:
        return None
    saw = {"domain": found.domain, "policy": found.policy, "record": found.record_domain}
    reason = Reason.DMARC_REJECT if found.policy == "reject" else Reason.DMARC_QUARANTINE
    return Finding(reason, saw, found.domain)


def _excused(options: DmarcOptions, evidence: Evidence) -> bool | CannotTell:
    if not options.trusted_sealers:
        return False
    arc = evidence.get(ARC)
    if isinstance(arc, Unknown):
        return CannotTell(ARC.name, arc.reason)
    chain = arc.value
    trusted = bool(chain.sealers) and chain.sealers[0] in options.trusted_sealers
    return chain.result == "pass" and trusted and chain.dmarc == "pass"


CHECK = CheckSpec("dmarc", frozenset({Stage.MESSAGE}), DmarcOptions, dmarc, needs=(DMARC, ARC))


def check(options: DmarcOptions) -> CheckSpec:
    """Return the declaration for these options: a chain is verified only where somebody is trusted."""
    return CHECK if options.trusted_sealers else replace(CHECK, needs=(DMARC,))
