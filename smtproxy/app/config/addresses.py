"""Where to listen and where to connect to, as written in the configuration: "0.0.0.0:25", "[::1]:25", "mx.lan:25".

Must never ask the DNS: whether a name resolves is no matter of the configuration.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Annotated, Final, TypeAlias

from pydantic import BeforeValidator

from smtproxy.app.config.domains import checked_domain
from smtproxy.session.networks import Network

EMBEDDED: Final = ("exchange",)
"""Names of the sample servers that come with smtproxy."""

_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A host (address without brackets, or a name) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as the configuration does."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it, as far as its spelling tells."""
        return self.host.lower() == "localhost" or ((ip := literal(self.host)) is not None and ip.is_loopback)

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for all addresses of this machine."""
        return (ip := literal(self.host)) is not None and ip.is_unspecified


@dataclass(frozen=True, slots=True)
class Embedded:
    """A sample server inside smtproxy: mail goes nowhere."""

    name: str

    def __str__(self) -> str:
        """Write it as the configuration does."""
        return f"embedded:{self.name}"


Server: TypeAlias = Address | Embedded


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """Read an IP address, or None if it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def bind(value: str) -> Address:
    """Read an address to listen on; port 0 lets the system choose. Raises ValueError with what is wrong."""
    host, port = _split(value, example="0.0.0.0:25")
    if host in ("", "*"):
        raise ValueError(f'name the addresses: "0.0.0.0:{port}" is all of IPv4, "[::]:{port}" all of IPv6')
    ip = literal(host)
    if ip is None:
        raise ValueError(f'"{host}" is no IP address: a listener binds addresses, not names')
    _plain(ip)
    return Address(str(ip), port)


def network(value: object) -> Network:
    """Read a network of clients, or the address of one. Raises ValueError with what is wrong."""
    if not isinstance(value, str):
        raise ValueError('must be a string like "10.0.0.0/8"')  # noqa: TRY004 - pydantic collects ValueErrors
    try:
        found = ip_network(value, strict=False)
    except ValueError:
        raise ValueError(
            f'"{value}" is no network: write it as in "10.0.0.0/8", "2001:db8::/32" or "10.0.0.1"'
        ) from None
    ip = ip_address(value.partition("/")[0])
    _plain(ip)
    if ip != found.network_address:
        raise ValueError(f'"{value}" names one address and a network at once: write "{found}" or "{ip}"')
    return found


ClientNetwork = Annotated[Network, BeforeValidator(network)]
"""A network of clients."""


def server(value: str) -> Server:
    """Read a server to relay to. Raises ValueError with what is wrong."""
    kind, _, name = value.partition(":")
    if kind == "embedded":
        if name not in EMBEDDED:
            raise ValueError(
                f'there is no embedded server "{name}", only {", ".join(f"embedded:{n}" for n in EMBEDDED)}'
            )
        return Embedded(name)
    host, port = _split(value, example="exchange.example.org:25")
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    if (ip := literal(host)) is not None:
        _plain(ip)
        if ip.is_unspecified:
            raise ValueError(f"{host} is an address to listen on, not one to connect to")
        return Address(str(ip), port)
    return Address(checked_domain(host), port)


def name_server(value: object) -> Address:
    """Read the address of a name server; its port is 53 unless it says another one. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - pydantic reports no other one
            'must be a string like "127.0.0.1", "[::1]:53" or "127.0.0.1:5353"'
        )
    whole = literal(value) is not None or ":" not in value
    host, port = (value, 53) if whole else _split(value, example="127.0.0.1:53")
    if (ip := literal(host)) is None:
        raise ValueError(f'"{host}" is no address: who looks up names has none that could be looked up')
    _plain(ip)
    if ip.is_unspecified or port == 0:
        raise ValueError(f"{value} cannot be asked")
    return Address(str(ip), port)


def _plain(ip: IPv4Address | IPv6Address) -> None:
    """Refuse the spellings of an address that the system takes for another one."""
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            raise ValueError(f"{ip}: addresses with a zone (%{ip.scope_id}) are not supported")
        if ip.ipv4_mapped is not None:
            raise ValueError(f"this is the IPv4 address {ip.ipv4_mapped}: write it so")


def _split(value: str, example: str) -> tuple[str, int]:
    """Part "host:port" or "[v6]:port"."""
    if value.startswith("["):
        host, bracket, port = value[1:].partition("]")
        if not bracket or not isinstance(literal(host), IPv6Address):
            raise ValueError('brackets hold an IPv6 address, as in "[::1]:25"')
        colon, port = port[:1], port[1:]
    else:
        host, colon, port = value.rpartition(":")
        if isinstance(literal(value), IPv6Address) or ":" in host:
            raise ValueError('an IPv6 address needs brackets and a port, as in "[::1]:25"')
    if not colon or not port:
        raise ValueError(f'the port is missing, as in "{example}"')
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f'"{port}" is no port: 0 to 65535, as in "{example}"')
    return host, int(port)
