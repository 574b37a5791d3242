"""Addresses of clients, and the networks they are in: compared as numbers, in one form each.

An IPv4 address in IPv6's clothing (::ffff:192.0.2.1, RFC 4291 2.5.5.2) is the IPv4 address: whoever changes his clothes
is still the same client. The zone of a link-local address (fe80::1%eth0) says nothing about the client.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


@lru_cache(maxsize=4096)
def address_of(text: str) -> Address:
    """Read an address as the system or a balancer writes it. Raises ValueError.

    Remembered: the address of a client is read some ten times in its session, 6 microseconds each.
    """
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


@lru_cache(maxsize=4096)
def pointer_of(text: str) -> str:
    """Return where the names of an address stand in the DNS. Raises ValueError. Remembered, as it is for each list."""
    return address_of(text).reverse_pointer


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Tell whether an address is in one of the networks."""
    return any(address in network for network in networks)


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which addresses are one client: those whose first so many bits are the same."""

    ipv4: int = 32
    ipv6: int = 64
    """What one customer gets at least (RFC 6177): whoever counts single addresses of IPv6 counts nobody."""

    def of(self, address: Address) -> int:
        """Return a number that all addresses of a client have in common, and no other client has."""
        if isinstance(address, IPv4Address):
            return int(address) >> (32 - self.ipv4)
        return (int(address) >> (128 - self.ipv6)) + _BEHIND_IPV4

    def named(self, address: Address) -> str:
        """Write the client for the log: its address, or its network."""
        bits = self.ipv4 if isinstance(address, IPv4Address) else self.ipv6
        return str(address) if bits == address.max_prefixlen else str(ip_network((int(address), bits), strict=False))


ONE_ADDRESS = Grouping()
_BEHIND_IPV4 = 1 << 32


class Networks:
    """Many networks that never change, as sorted numbers: `in` costs the same however many there are."""

    __slots__ = ("_ipv4", "_ipv6", "networks")

    def __init__(self, *texts: str) -> None:
        self.networks: tuple[Network, ...] = tuple(map(ip_network, texts))
        self._ipv4 = _borders(one for one in self.networks if one.version == 4)
        self._ipv6 = _borders(one for one in self.networks if one.version == 6)

    def __contains__(self, address: Address) -> bool:
        """Tell whether an address is in one of the networks."""
        borders = self._ipv4 if isinstance(address, IPv4Address) else self._ipv6
        return bisect_right(borders, int(address)) % 2 == 1

    def overlap(self, network: Network) -> bool:
        """Tell whether any address of a network is in one of them."""
        borders = self._ipv4 if isinstance(network, IPv4Network) else self._ipv6
        at = bisect_right(borders, int(network.network_address))
        return at % 2 == 1 or (at < len(borders) and borders[at] <= int(network.broadcast_address))


def _borders(networks: Iterable[Network]) -> list[int]:
    """Return where addresses begin to be in a network of one family, and where they cease to be, in turn."""
    borders: list[int] = []
    for begin, end in sorted((int(one.network_address), int(one.broadcast_address) + 1) for one in networks):
        if borders and begin <= borders[-1]:
            borders[-1] = max(borders[-1], end)
        else:
            borders += (begin, end)
    return borders


_LOCAL = (
    *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    *("::1/128", "fc00::/7", "fe80::/10"),
)
LOCAL = Networks(*_LOCAL)
"""Networks that are somebody's own: loopback, private, shared, of one link. RFC 6890"""
BOGUS = Networks(
    *_LOCAL,
    *("0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
    *("224.0.0.0/4", "240.0.0.0/4", "::/128", "100::/64", "2001:db8::/32", "3fff::/20", "ff00::/8"),
)
"""Networks in which nobody on the Internet takes mail: those, and this host, documentation, benchmarks, multicast, the
reserved ones. RFC 6890, RFC 9637"""
