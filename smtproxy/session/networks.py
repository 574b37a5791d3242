"""Addresses of clients, and the networks they are in: compared as numbers, in one form each.

An IPv4 address in IPv6's clothing (::ffff:192.0.2.1, RFC 4291 2.5.5.2) is the IPv4 address: whoever changes his clothes
is still the same client. The zone of a link-local address (fe80::1%eth0) says nothing about the client.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def address_of(text: str) -> Address:
    """Read an address as the system or a balancer writes it. Raises ValueError."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Tell whether an address is in one of the networks."""
    return any(address in network for network in networks)
