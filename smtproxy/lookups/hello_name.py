"""What the name in EHLO or HELO leads to. RFC 5321 4.1.4: a server may look, and must not refuse for that alone."""

from smtproxy.lookups.addresses import addresses_of, family, unknown
from smtproxy.network.dns.answers import Status
from smtproxy.network.inquiry import Inquiry, Lookup
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import HELLO_NAME, HelloName
from smtproxy.session.networks import address_of
from smtproxy.wire.paths import domain_key

MOST_ADDRESSES = 20
"""Addresses that are kept of a name: for the log, and for comparison."""


async def hello_name(inquiry: Inquiry) -> Fact[HelloName]:
    """Ask for the addresses, those of the client's family first.

    A name without a dot leads nowhere in the DNS, and the root servers need not hear of it.
    """
    name = domain_key(inquiry.hello)
    if not name or name.startswith("["):
        return Unknown("no_name")
    if "." not in name:
        return Known(HelloName(exists=False))
    first = family(address_of(inquiry.client)) if inquiry.client else "A"
    answer = await addresses_of(inquiry.dns, name, first)
    if answer.status is Status.INVALID:
        return Known(HelloName(exists=False))
    if not answer.status.known:
        return unknown(answer)
    return Known(HelloName(answer.records[:MOST_ADDRESSES], answer.status is not Status.NO_NAME))


LOOKUP = Lookup(HELLO_NAME, hello_name)
