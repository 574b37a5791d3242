"""Exemptions and overrides: for whom a judgement is lifted, and for whom it is another one.

They lift judgements, never duties: whoever is exempt from every check still cannot relay, and reaches no unknown user.
DESIGN section 5. Among judgements allow wins. All conditions of a block must hold; one that is not given always does.
"""

from dataclasses import dataclass, field
from typing import Any

from smtproxy.policy.evidence import Evidence, Fact, Known
from smtproxy.policy.facts import DKIM, REPUTATION, SENDER_REPUTATION, SPF, Key, Reputation, Signatures, Spf
from smtproxy.policy.patterns import Patterns
from smtproxy.session.networks import Network, address_of, within
from smtproxy.session.verdicts import Stage
from smtproxy.wire.paths import Path, domain_key


@dataclass(frozen=True, slots=True)
class Match:
    """Whom a block is about."""

    clients: tuple[Network, ...] = ()
    senders: Patterns = field(default_factory=Patterns)
    """Domains of senders; a domain counts only where it is proven, by SPF or a DKIM signature, if `proven`."""
    recipients: Patterns = field(default_factory=Patterns)
    proven: bool = True
    allowed: bool = False
    """Those whom a person has allowed, by address, network or proven domain."""

    @property
    def needs(self) -> tuple[Key[Any], ...]:
        """The facts by which a sender is proven, or known to be allowed."""
        if self.allowed:
            return (REPUTATION, SENDER_REPUTATION)
        return (SPF, DKIM) if self.senders and self.proven else ()

    @property
    def by_client_alone(self) -> bool:
        """Whether it is settled as soon as the client is connected."""
        return bool(self.clients) and not self.senders and not self.recipients

    def why(self, evidence: Evidence, recipient: Path | None) -> str:
        """Return what of it matched, for the log; empty: it does not match."""
        words = []
        if self.clients:
            if not is_from(evidence.dialogue.client, self.clients):
                return ""
            words.append(f"client {evidence.dialogue.client}")
        if self.recipients:
            found = "" if recipient is None else self.recipients.find(recipient)
            if not found:
                return ""
            words.append(f"recipient {found}")
        if self.senders:
            found = self._sender(evidence)
            if not found:
                return ""
            words.append(f"sender {found}")
        if self.allowed:
            found = allowed(evidence)
            if not found:
                return ""
            words.append(f"allowed {found}")
        return ", ".join(words)

    def _sender(self, evidence: Evidence) -> str:
        if self.proven:
            return next((one for one in map(self.senders.find_domain, sorted(proven(evidence))) if one), "")
        envelope = evidence.dialogue.envelope
        return "" if envelope is None else self.senders.find(envelope.sender)


@dataclass(frozen=True, slots=True)
class Exemption:
    """A block [[exemptions]]."""

    match: Match
    checks: frozenset[str] | None = None
    """Names of checks; None: every judgement."""
    lists: bool = False
    """Every check that believes lists, besides."""

    def covers(self, name: str, *, lists: bool) -> bool:
        """Whether it speaks of a check."""
        return self.checks is None or name in self.checks or (self.lists and lists)


def is_from(client: str, networks: tuple[Network, ...]) -> bool:
    """Whether a client's address is in one of the networks; one that its balancer did not say is in none."""
    try:
        return within(address_of(client), networks)
    except ValueError:
        return False


def allowed(evidence: Evidence) -> str:
    """Return the address, network or domain that a person has allowed; a domain counts only where it is proven."""
    client: Fact[Reputation] = evidence.get(REPUTATION)
    if isinstance(client, Known) and client.value.allowed:
        return client.value.allowed
    sender: Fact[Reputation] = evidence.get(SENDER_REPUTATION)
    envelope = evidence.dialogue.envelope
    if isinstance(sender, Known) and sender.value.allowed and envelope is not None:
        return sender.value.allowed if envelope.sender.domain_key in proven(evidence) else ""
    return ""


def proven(evidence: Evidence) -> frozenset[str]:
    """Return the domains that this mail is proven to be from, in the form of `domain_key`.

    SPF proves the domain of MAIL FROM, or of the hello where the path is null; a DKIM signature that passes its d=, if
    it covers the whole body: behind `l=0` anybody can put what he likes.
    """
    domains = set()
    spf: Fact[Spf] = evidence.get(SPF)
    if isinstance(spf, Known) and spf.value.result == "pass" and spf.value.domain:
        domains.add(domain_key(spf.value.domain))
    if evidence.stage is Stage.MESSAGE:
        dkim: Fact[Signatures] = evidence.get(DKIM)
        if isinstance(dkim, Known):
            domains |= {
                domain_key(one.domain)
                for one in dkim.value.found
                if one.result == "pass" and not one.testing and not one.partial
            }
    return frozenset(domains)
