"""Fact `dmarc`: asks the DNS for what `policy/dmarc.py` needs. RFC 9989 4.10, 5.3"""

from functools import partial
from typing import Final

import trio
from publicsuffixlist import PublicSuffixList

from smtproxy.lookups.recent import Recent
from smtproxy.network.dns.answers import Answer, Resolver, Status
from smtproxy.network.inquiry import Inquiry, Lookup
from smtproxy.policy.dmarc import candidates, evaluate, read, walk
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import DKIM, DMARC, HEADER, SPF, Dmarc, Signatures, Spf

_SUFFIXES: Final = PublicSuffixList()
"""It takes 50 ms and some MB to read: whoever imports this module does so before the first session."""


def organisation(domain: str) -> str | None:
    """Return the organisational domain by the public suffix list, private section included. RFC 7489 3.2"""
    found: str | None = _SUFFIXES.privatesuffix(domain)
    return found


async def find(inquiry: Inquiry, recent: Recent[Dmarc] | None = None) -> Fact[Dmarc]:
    """Learn it from From, SPF, DKIM and the DNS, or from what was found of the same a moment ago."""
    header = await inquiry.fact(HEADER)
    if isinstance(header, Unknown):
        return header
    domains = header.value.from_domains
    if len(domains) != 1:
        # RFC 9989 5.3.1: several are exempt. The check `header` finds them.
        return Known(Dmarc("permerror", domains[0]) if domains else Dmarc("none"))
    author = domains[0]
    if author.startswith("["):
        return Known(Dmarc("none", author))
    spf = await inquiry.fact(SPF)
    dkim = await inquiry.fact(DKIM)
    if recent is None:
        return await judge(inquiry.dns, author, spf, dkim, quick=inquiry.quick)
    found = recent.get(author, (spf, dkim))
    if found is None:
        found = await judge(inquiry.dns, author, spf, dkim, quick=inquiry.quick)
        if isinstance(found, Known) and found.value.result != "temperror":
            recent.keep(author, found, (spf, dkim))  # a name server that was silent may answer at once
    return found


async def judge(
    dns: Resolver, author: str, spf: Fact[Spf], dkim: Fact[Signatures], *, quick: bool = False
) -> Fact[Dmarc]:
    """Evaluate for one domain. What is not known of SPF or DKIM matters only if the other does not pass.

    `quick`: `dns` answers on the spot, and nobody may wait for anything.
    """
    known_spf = spf.value if isinstance(spf, Known) else None
    signatures = dkim.value if isinstance(dkim, Known) else Signatures()
    names = dict.fromkeys(walk(author))
    for domain in candidates(author, organisation, known_spf, signatures):
        names.update(dict.fromkeys(walk(domain)))
    answers: dict[str, Answer] = {}
    if quick:
        for domain in names:
            answers[domain] = await dns.ask(f"_dmarc.{domain}", "TXT")
    else:

        async def ask(domain: str) -> None:
            answers[domain] = await dns.ask(f"_dmarc.{domain}", "TXT")

        async with trio.open_nursery() as nursery:
            for domain in names:
                nursery.start_soon(ask, domain)
    if not all(one.status.known or one.status is Status.INVALID for one in answers.values()):
        return Known(Dmarc("temperror", author))
    records = {domain: read(answer.records) for domain, answer in answers.items()}
    exists = True
    if records.get(author) is None and any(records.values()):
        # RFC 9989 4.7: a domain does not exist if there is nothing at and below its name.
        exists = (await dns.ask(author, "A")).status is not Status.NO_NAME
    found = evaluate(author, records, organisation, exists=exists, spf=known_spf, signatures=signatures)
    if found.result in ("fail", "temperror"):
        for fact in (spf, dkim):
            if isinstance(fact, Unknown):
                return fact
    return Known(found)


LOOKUP = Lookup(DMARC, find)


def remembering(recent: Recent[Dmarc]) -> Lookup[Dmarc]:
    """Return the lookup with a memory."""
    return Lookup(DMARC, partial(find, recent=recent))
