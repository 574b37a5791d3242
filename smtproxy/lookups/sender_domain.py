"""Whether the domain of MAIL FROM exists and takes mail: MX, null MX, implicit MX. RFC 5321 5.1, RFC 7505"""

from smtproxy.lookups.addresses import addresses_of, family, read, unknown
from smtproxy.network.dns.answers import Answer, Resolver, Status
from smtproxy.network.inquiry import Inquiry, Lookup
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import SENDER_DOMAIN, SenderDomain
from smtproxy.session.networks import BOGUS, Address, address_of

MOST_EXCHANGERS = 10
"""Exchangers whose addresses are asked for, the best ones first, while none is found that could be reached. RFC 7208
4.6.4 stops at 10, too; two are usual."""
ENOUGH = 4
"""Exchangers after which one address that could be reached is enough: what is looked for behind it is the client's."""
MOST_ADDRESSES = 20
"""Addresses that are kept."""


async def sender_domain(inquiry: Inquiry) -> Fact[SenderDomain]:
    """Ask for MX, then for addresses."""
    domain = inquiry.sender.domain_key if inquiry.sender is not None else ""
    if not domain or domain.startswith("["):
        return Unknown("no_domain")
    client = address_of(inquiry.client) if inquiry.client else None
    first = family(client) if client is not None else "A"
    answer = await inquiry.dns.ask(domain, "MX")
    if answer.status is Status.INVALID:
        return Known(SenderDomain(exists=False))
    if not answer.status.known:
        return unknown(answer)
    if answer.status is not Status.FOUND:
        # Also where the name is said not to exist: some servers say that of every type they do not know.
        return await _implicit(inquiry.dns, domain, first, client)
    exchangers = _exchangers(answer)
    if exchangers == (".",):
        return Known(SenderDomain(exists=True, null_mx=True))
    if "." in exchangers:
        exchangers = tuple(one for one in exchangers if one != ".")
    found: list[str] = []
    failed = None
    for number, name in enumerate(exchangers[:MOST_EXCHANGERS]):
        if number >= ENOUGH and not all(one in BOGUS for one in read(found)):
            break
        addresses = await addresses_of(inquiry.dns, name, first)
        found += addresses.records
        if not addresses.status.known and addresses.status is not Status.INVALID:
            failed = addresses
    if failed is not None and not found:
        return unknown(failed)
    return Known(_domain(exchangers, found, client))


async def _implicit(dns: Resolver, domain: str, first: str, client: Address | None) -> Fact[SenderDomain]:
    """A domain without MX takes mail at its own addresses. RFC 5321 5.1"""
    answer = await addresses_of(dns, domain, first)
    if not answer.status.known:
        return unknown(answer)
    if answer.status is Status.NO_NAME:
        return Known(SenderDomain(exists=False))
    return Known(_domain((), answer.records, client))


def _domain(
    exchangers: tuple[str, ...], addresses: list[str] | tuple[str, ...], client: Address | None
) -> SenderDomain:
    return SenderDomain(
        exists=True,
        exchangers=exchangers[:MOST_ADDRESSES],
        addresses=tuple(addresses[:MOST_ADDRESSES]),
        client_is_exchanger=client is not None and client in read(addresses),
    )


def _exchangers(answer: Answer) -> tuple[str, ...]:
    """Return the names in MX records, the best first; equals in the order of the alphabet, so that it is repeatable."""
    pairs = (record.split(" ", 1) for record in answer.records)
    return tuple(name for _, name in sorted((int(preference), name) for preference, name in pairs))


LOOKUP = Lookup(SENDER_DOMAIN, sender_domain)
