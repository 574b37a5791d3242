"""Judgement: a sender whose domain could not be answered: it does not exist, or takes no mail. RFC 5321 5.1, RFC 7505

What cannot be answered cannot be bounced either. A null MX says that the domain never sends (RFC 7505 4.2).
"""

from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence, Unknown
from smtproxy.policy.facts import SENDER_DOMAIN, SenderDomain
from smtproxy.policy.findings import CannotTell, CheckSpec, Finding, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.networks import BOGUS, address_of
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class SenderDomainOptions:
    """What it finds."""

    missing: bool = True
    null_mx: bool = True
    no_exchanger: bool = True
    bogus_exchanger: bool = True


def sender_domain(options: SenderDomainOptions, evidence: Evidence) -> Outcome:
    """Find domains that nobody could write to."""
    envelope = evidence.dialogue.envelope
    domain = "" if envelope is None else envelope.sender.domain_key
    if not domain or domain.startswith("["):
        return None
    fact = evidence.get(SENDER_DOMAIN)
    if isinstance(fact, Unknown):
        return CannotTell(SENDER_DOMAIN.name, fact.reason)
    reason = _reason(options, fact.value)
    if reason is None:
        return None
    return Finding(reason, {"domain": domain, "addresses": fact.value.addresses[:4]}, domain)


def _reason(options: SenderDomainOptions, known: SenderDomain) -> Reason | None:
    if not known.exists:
        return Reason.SENDER_DOMAIN_MISSING if options.missing else None
    if known.null_mx:
        return Reason.SENDER_NULL_MX if options.null_mx else None
    if not known.addresses:
        return Reason.SENDER_NO_EXCHANGER if options.no_exchanger else None
    if options.bogus_exchanger and all(address_of(one) in BOGUS for one in known.addresses):
        return Reason.SENDER_BOGUS_EXCHANGER
    return None


CHECK = CheckSpec("sender_domain", frozenset({Stage.MAIL}), SenderDomainOptions, sender_domain, needs=(SENDER_DOMAIN,))
