"""Judgement: a stranger who sends as one of our domains, in MAIL FROM or in From, and is not proven to be one of us.

Proof is SPF of that domain, or a DKIM signature of it or of another domain of ours. A signature is known only when the
message is there: MAIL FROM is judged by SPF alone.
"""

from dataclasses import dataclass, replace

from smtproxy.policy.evidence import Evidence, Fact, Known, Unknown
from smtproxy.policy.facts import DKIM, HEADER, SPF, Signatures, Spf
from smtproxy.policy.findings import CannotTell, CheckSpec, Finding, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class OwnSenderOptions:
    """What it finds; domains are those of the listener, in the form of `domain_key`."""

    envelope: bool = True
    author: bool = True
    domains: frozenset[str] = frozenset()


def own_sender(options: OwnSenderOptions, evidence: Evidence) -> Outcome:
    """Find strangers with our name."""
    return _author(options, evidence) if evidence.stage is Stage.MESSAGE else _envelope(options, evidence)


def _envelope(options: OwnSenderOptions, evidence: Evidence) -> Outcome:
    envelope = evidence.dialogue.envelope
    domain = "" if envelope is None else envelope.sender.domain_key
    if not options.envelope or domain not in options.domains:
        return None
    said = _by_spf(evidence.get(SPF), options)
    if said is True:
        return None
    return said or Finding(Reason.OWN_SENDER, {"domain": domain}, domain)


def _author(options: OwnSenderOptions, evidence: Evidence) -> Outcome:
    if not options.author or not options.domains:
        return None
    header = evidence.get(HEADER)
    if isinstance(header, Unknown):
        return CannotTell(HEADER.name, header.reason)
    ours = [domain for domain in header.value.from_domains if domain in options.domains]
    if not ours:
        return None
    said = (_by_spf(evidence.get(SPF), options), _by_dkim(evidence.get(DKIM), options))
    if True in said:
        return None
    unknown = [one for one in said if isinstance(one, CannotTell)]
    return unknown[0] if unknown else Finding(Reason.OWN_AUTHOR, {"domain": ours[0]}, ours[0])


def _by_spf(fact: Fact[Spf], options: OwnSenderOptions) -> CannotTell | bool:
    if isinstance(fact, Known):
        if not _is_ours(fact.value.domain, options):
            return False
        return CannotTell(SPF.name, "temperror") if fact.value.result == "temperror" else fact.value.result == "pass"
    return CannotTell(SPF.name, fact.reason)


def _by_dkim(fact: Fact[Signatures], options: OwnSenderOptions) -> CannotTell | bool:
    if isinstance(fact, Unknown):
        return CannotTell(DKIM.name, fact.reason)
    # RFC 6376 3.6.1: one by a key in testing mode (t=y) is to be treated as none.
    results = {one.result for one in fact.value.found if _is_ours(one.domain, options) and not one.testing}
    if "pass" in results:
        return True
    return CannotTell(DKIM.name, "temperror") if "temperror" in results else False


def _is_ours(domain: str, options: OwnSenderOptions) -> bool:
    """Return whether it is one of ours or below one: whoever has the DNS of a domain has it below, too."""
    labels = domain.split(".")
    return any(".".join(labels[at:]) in options.domains for at in range(len(labels)))


CHECK = CheckSpec(
    "own_sender", frozenset({Stage.MAIL, Stage.MESSAGE}), OwnSenderOptions, own_sender, needs=(SPF, HEADER, DKIM)
)


def check(options: OwnSenderOptions) -> CheckSpec:
    """Return the declaration for these options: nothing is looked up that none of them asks for."""
    return CHECK if options.author else replace(CHECK, stages=frozenset({Stage.MAIL}), needs=(SPF,))
