"""Judgement: a client that is none of those from which the sender's domain sends. RFC 7208

`fail` is what the owner asks to be refused; `softfail` is a guess of his, and a record that cannot be read is his
mistake: both are findings only where they are wanted. Forwarders fail, and are honest: hence `observe` by default.
"""

from dataclasses import dataclass, replace

from smtproxy.policy.evidence import Evidence, Unknown
from smtproxy.policy.facts import SPF, SPF_HELLO, Key, Spf
from smtproxy.policy.findings import CannotTell, CheckSpec, Finding, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class SpfOptions:
    """What it finds."""

    fail: bool = True
    softfail: bool = False
    permerror: bool = False
    hello: bool = False
    """The same of the hello name, besides. RFC 7208 2.3"""


def spf(options: SpfOptions, evidence: Evidence) -> Outcome:
    """Find clients that may not send for the domain."""
    if evidence.dialogue.envelope is None:
        return None
    keys = (SPF, SPF_HELLO) if options.hello else (SPF,)
    found = [_one(options, evidence, key) for key in keys]
    # What one identity shows is not made unknown by the other.
    return next((one for one in found if isinstance(one, Finding)), next((one for one in found if one), None))


def _one(options: SpfOptions, evidence: Evidence, key: Key[Spf]) -> Outcome:
    fact = evidence.get(key)
    if isinstance(fact, Unknown):
        return CannotTell(key.name, fact.reason)
    result, domain = fact.value.result, fact.value.domain
    if result == "temperror":
        return CannotTell(key.name, result)
    reason = _reason(options, result)
    if reason is None:
        return None
    identity = "hello" if key is SPF_HELLO else "sender"
    return Finding(reason, {"result": result, "domain": domain, "identity": identity}, domain)


def _reason(options: SpfOptions, result: str) -> Reason | None:
    if result == "fail" and options.fail:
        return Reason.SPF_FAIL
    if result == "softfail" and options.softfail:
        return Reason.SPF_SOFTFAIL
    if result == "permerror" and options.permerror:
        return Reason.SPF_PERMERROR
    return None


CHECK = CheckSpec("spf", frozenset({Stage.MAIL}), SpfOptions, spf, needs=(SPF, SPF_HELLO))


def check(options: SpfOptions) -> CheckSpec:
    """Return the declaration for these options: nothing is looked up that none of them asks for."""
    return CHECK if options.hello else replace(CHECK, needs=(SPF,))
