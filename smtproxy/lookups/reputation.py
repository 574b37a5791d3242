"""The facts `reputation` and `sender_reputation`: what the store has of the client, and of the sender's domain.

All of it is at hand; only where a person has allowed the sender's domain SPF is looked up besides, as that must be
proven: else nobody might have asked for it.
"""

from smtproxy.network.inquiry import AnyLookup, Inquiry, Lookup
from smtproxy.policy.evidence import Fact, Known
from smtproxy.policy.facts import REPUTATION, SENDER_REPUTATION, SPF, Reputation
from smtproxy.policy.reputation import Reputations


def lookups(known: Reputations) -> tuple[AnyLookup, ...]:
    """Return the lookups of these reputations."""

    async def of_client(inquiry: Inquiry) -> Fact[Reputation]:
        return Known(known.of_client(inquiry.client, inquiry.now))

    async def of_sender(inquiry: Inquiry) -> Fact[Reputation]:
        domain = "" if inquiry.sender is None else inquiry.sender.domain_key
        if not domain:  # the null sender
            return Known(Reputation())
        found = known.of_domain(domain, inquiry.now)
        if found.allowed:
            await inquiry.fact(SPF)
        return Known(found)

    return Lookup(REPUTATION, of_client), Lookup(SENDER_REPUTATION, of_sender)
