"""Whether a reverse name is one that a provider gives to whoever is connected: its customers' computers, not servers.

Two signs: the address is part of the name ("203-0-113-7.example.net"), or a word says it ("dsl", "dhcp", "pool"). A
name that speaks of mail ("smtp", "mx", "outbound") is neither: big senders number their servers by address, too.
"""

import re
from ipaddress import IPv4Address

from smtproxy.session.networks import Address

_WORDS = frozenset(
    {
        *("adsl", "broadband", "cable", "catv", "cust", "customer", "dhcp", "dial", "dialin", "dialup", "dsl", "dyn"),
        *("dynamic", "dynip", "ftth", "pool", "ppp", "pppoe", "residential", "vdsl", "xdsl"),
    }
)
_MAIL = frozenset(
    {
        *("email", "mail", "mailer", "mailout", "mta", "mx", "out", "outbound", "outgoing", "relay", "sender", "smtp"),
        "smtpout",
    }
)
_DOMAIN_LABELS = 2
"""Labels at the end that are no host's: "home.example" and "dyn.example" are companies."""
_NUMBERS = re.compile(r"\d+", re.ASCII)
_TOKENS = re.compile(r"[a-z]+", re.ASCII)


def sign_of_a_dynamic_name(name: str, address: Address) -> str:
    """Return the sign: "address", or the word; empty: there is none. `name` in lower case."""
    host = ".".join(name.split(".")[:-_DOMAIN_LABELS])
    tokens = _TOKENS.findall(host)
    if not _MAIL.isdisjoint(tokens):
        return ""
    if _holds(host, address):
        return "address"
    return next((token for token in tokens if token in _WORDS), "")


def _holds(host: str, address: Address) -> bool:
    if not isinstance(address, IPv4Address):
        digits = address.exploded.replace(":", "")
        return digits in re.sub(r"[^0-9a-f]", "", host) or str(address).replace("::", ":").replace(":", "-") in host
    octets = list(address.packed)
    numbers = [int(text) for text in _NUMBERS.findall(host) if len(text) <= 3]
    parts = [numbers[at : at + 4] for at in range(len(numbers) - 3)]
    if octets in parts or octets[::-1] in parts:
        return True
    padded = "".join(f"{octet:03}" for octet in octets)
    return padded in host or address.packed.hex() in re.split(r"[^0-9a-f]+", host)
