"""Duty: only recipients in our domains are taken. What stands between us and an open relay.

Compared is the very path that will be sent, by the same parse (case, trailing dot, A-label). Old servers read routing
out of the local part and trust the proxy's address (CVE-1999-0682, MS99-027): `victim%net@ours`, `"victim@net"@ours`,
`net!victim@ours`, `IMCEASMTP-victim+40net@ours` are therefore foreign, too. DESIGN section 5, "No open relay".
"""

import unicodedata
from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.findings import Action, CheckSpec, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage

ANY = "*"
_ROUTING = frozenset("@%!")
_ENCAPSULATED_SMTP = "imceasmtp-"


@dataclass(frozen=True, slots=True)
class RecipientDomainOptions:
    """Domains in the form of `Path.domain_key`; "*" takes anything, on purpose."""

    domains: frozenset[str] = frozenset()
    routing_local_parts: frozenset[str] = frozenset()
    """Domains whose local parts may look like routes."""


def recipient_domain(options: RecipientDomainOptions, evidence: Evidence) -> Finding | None:
    """Find recipients that are not ours."""
    recipient = evidence.dialogue.recipient
    if recipient is None:
        return None
    path = recipient.path
    domain = path.domain_key
    if not domain and path.mailbox_local.casefold() == "postmaster":
        return None  # RFC 5321 4.5.1: <postmaster> without a domain must be taken
    if ANY not in options.domains and domain not in options.domains:
        return Finding(Reason.FOREIGN_RECIPIENT, {"domain": domain}, action=Action.REJECT)
    # NFKC: a server that folds full-width characters reads U+FF20 as "@".
    local = unicodedata.normalize("NFKC", path.mailbox_local)
    routed = not _ROUTING.isdisjoint(local) or local.casefold().startswith(_ENCAPSULATED_SMTP)
    if routed and domain not in options.routing_local_parts:
        return Finding(Reason.ROUTED_LOCAL_PART, {"local": local}, action=Action.REJECT)
    return None


CHECK = CheckSpec("recipient_domain", frozenset({Stage.RECIPIENT}), RecipientDomainOptions, recipient_domain, duty=True)
