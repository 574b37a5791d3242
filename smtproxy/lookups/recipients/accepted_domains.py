"""The domains that an Exchange organisation accepts, and in which of them it knows all recipients.

Objects of class msExchAcceptedDomain in the configuration of the forest: msExchAcceptedDomainName, and
msExchAcceptedDomainFlags, whose low two bits are 0 for an authoritative domain and something else for a relay domain,
some of whose recipients live elsewhere. `*.example.org` stands for all domains below, `*` for any.

It must never widen what is taken: our domains are those of the listeners, and this only says who may be called missing.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeAlias

from smtproxy.lookups.recipients.exchange import Item
from smtproxy.wire.paths import domain_key

FILTER: Final = "(objectClass=msExchAcceptedDomain)"
WANTED: Final = ("msExchAcceptedDomainName", "msExchAcceptedDomainFlags")
_KIND: Final = 0b11
"""Bits of the flags that say what kind of domain it is."""

AcceptedDomains: TypeAlias = Mapping[str, bool]
"""Domains in the form of `domain_key`, or `*.` and one, or `*`; each with whether it is authoritative."""


def accepted(items: Iterable[Item]) -> AcceptedDomains:
    """Read the objects. What is listed twice, or says nothing of its kind, is a relay domain."""
    found: dict[str, bool] = {}
    for item in items:
        name = next(iter(item.attributes.get("msexchaccepteddomainname", ())), "").strip()
        flags = next(iter(item.attributes.get("msexchaccepteddomainflags", ())), "")
        if not name:
            continue
        key = f"*.{domain_key(name[2:])}" if name.startswith("*.") else domain_key(name)
        authoritative = flags.isascii() and flags.isdigit() and int(flags) & _KIND == 0
        found[key] = authoritative and found.get(key, True)
    return found


def authoritative(domains: AcceptedDomains, domain: str) -> bool | None:
    """Whether all recipients of a domain are known; None: it is not accepted. The most exact name decides."""
    if domain in domains:
        return domains[domain]
    rest = domain
    while rest:
        _, _, rest = rest.partition(".")
        if f"*.{rest}" in domains:
            return domains[f"*.{rest}"]
    return domains.get("*")


def differences(
    domains: AcceptedDomains, ours: Collection[str], covered: Collection[str]
) -> tuple[list[str], list[str]]:
    """Return what the directory accepts and no listener does, and the reverse; of ours only those that it covers."""
    more = [
        name
        for name in domains
        if name != "*"
        and name not in ours
        and not (name.startswith("*.") and any(one.endswith(name[1:]) for one in ours))
    ]
    return sorted(more), sorted(one for one in ours if one in covered and authoritative(domains, one) is None)


def configuration_server(url: str) -> str:
    """Return the URL at which a server has the configuration: not that of its global catalog, which lacks it."""
    for catalog, own in ((":3268", ":389"), (":3269", ":636")):
        if url.endswith(catalog):
            return url.removesuffix(catalog) + own
    return url
