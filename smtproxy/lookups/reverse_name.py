"""The names of the client's address, and which of them leads back to it. RFC 1035 3.5, RFC 8601 2.7.3 (iprev)

A name that does not lead back is a claim: whoever has an address may write any name there.
"""

from smtproxy.lookups.addresses import family, read, unknown
from smtproxy.network.dns.answers import Status
from smtproxy.network.inquiry import Inquiry, Lookup
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import REVERSE_NAME, ReverseName
from smtproxy.session.networks import address_of, pointer_of

MOST_NAMES = 5
"""Names of an address that are followed. RFC 7208 5.5 stops at 10 for ptr; honest addresses have one or two."""


async def reverse_name(inquiry: Inquiry) -> Fact[ReverseName]:
    """Ask for the names, then for their addresses."""
    if not inquiry.client:
        return Unknown("no_client")
    client = address_of(inquiry.client)
    answer = await inquiry.dns.ask(pointer_of(inquiry.client), "PTR")
    if not answer.status.known:
        return unknown(answer)
    names = answer.records[:MOST_NAMES]
    failed = None
    for name in names:
        back = await inquiry.dns.ask(name, family(client))
        if client in read(back.records):
            return Known(ReverseName(names, name))
        if not back.status.known and back.status is not Status.INVALID:
            failed = back
    return Known(ReverseName(names)) if failed is None else unknown(failed)


LOOKUP = Lookup(REVERSE_NAME, reverse_name)
