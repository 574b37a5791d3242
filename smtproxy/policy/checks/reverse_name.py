"""Judgement: a client whose address has no name, a name that does not lead back, or one that providers give to whoever
is connected. RFC 1912 2.1, RFC 8601 2.7.3, RFC 7372

Honest servers without a confirmed name are rare and real, so it observes by default. A dynamic name is forgiven where
the sender's domain vouches for the client (SPF), or receives its mail there: then it is somebody's server at home.
Clients in private networks have no names that we could ask for.
"""

from dataclasses import dataclass, replace

from smtproxy.policy.dynamic_names import sign_of_a_dynamic_name
from smtproxy.policy.evidence import NOBODY_ASKED, Evidence, Known, Unknown
from smtproxy.policy.facts import REVERSE_NAME, SENDER_DOMAIN, SPF
from smtproxy.policy.findings import CannotTell, CheckSpec, Finding, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.networks import LOCAL, address_of
from smtproxy.session.verdicts import Stage

_BEFORE_A_SENDER = frozenset({Stage.CONNECT, Stage.HELLO})


@dataclass(frozen=True, slots=True)
class ReverseNameOptions:
    """What it finds."""

    missing: bool = True
    unconfirmed: bool = True
    dynamic: bool = True


def reverse_name(options: ReverseNameOptions, evidence: Evidence) -> Outcome:
    """Find clients without a name of their own."""
    client = evidence.dialogue.client
    if not client or (address := address_of(client)) in LOCAL:
        return None
    fact = evidence.get(REVERSE_NAME)
    if isinstance(fact, Unknown):
        return CannotTell(REVERSE_NAME.name, fact.reason)
    found = fact.value
    if not found.names:
        return Finding(Reason.NO_REVERSE_NAME, {"client": client}, client) if options.missing else None
    name = found.confirmed or found.names[0]
    if options.unconfirmed and not found.confirmed:
        return Finding(Reason.REVERSE_NAME_UNCONFIRMED, {"name": name}, client)
    sign = sign_of_a_dynamic_name(name, address) if options.dynamic else ""
    if not sign or evidence.stage in _BEFORE_A_SENDER:
        return None
    vouched = _vouched(evidence)
    if isinstance(vouched, CannotTell):
        return vouched
    return None if vouched else Finding(Reason.REVERSE_NAME_DYNAMIC, {"name": name, "sign": sign}, name)


def _vouched(evidence: Evidence) -> bool | CannotTell:
    """Tell whether the sender's domain stands by this client."""
    spf, domain = evidence.get(SPF), evidence.get(SENDER_DOMAIN)
    if isinstance(spf, Known) and spf.value.result == "pass":
        return True
    if isinstance(domain, Known) and domain.value.client_is_exchanger:
        return True
    if isinstance(spf, Known) and spf.value.result == "temperror":
        return CannotTell(SPF.name, "temperror")
    for key, fact in ((SPF.name, spf), (SENDER_DOMAIN.name, domain)):
        if isinstance(fact, Unknown) and fact.reason not in _SAYS_NO:
            return CannotTell(key, fact.reason)
    return False


_SAYS_NO = frozenset({*NOBODY_ASKED, "no_domain"})
"""Reasons for which there is nobody who could vouch."""

CHECK = CheckSpec(
    "reverse_name",
    frozenset({Stage.CONNECT, Stage.MAIL}),
    ReverseNameOptions,
    reverse_name,
    needs=(REVERSE_NAME, SPF, SENDER_DOMAIN),
)


def check(options: ReverseNameOptions) -> CheckSpec:
    """Return the declaration for these options: nothing is looked up that none of them asks for."""
    return CHECK if options.dynamic else replace(CHECK, needs=(REVERSE_NAME,))
