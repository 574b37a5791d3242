"""The filter that finds one address in a directory. RFC 4515

The address comes from a client: nothing of it may be read as filter. So all but letters, digits and a few harmless
characters is escaped, octet by octet; bonsai's `escape_filter_exp` is not used, as it writes NUL as one digit.
"""

import re
from collections.abc import Sequence
from typing import Final

import idna

from smtproxy.lookups.recipients.spelling import Address

_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_@:")
_DOT_STRING: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\u0080-\U0010ffff-]+")
"""What needs no quotes. RFC 5321 4.1.2, RFC 6531 3.3"""


def escaped(value: str) -> str:
    """Return a value as it may stand in a filter. RFC 4515 3"""
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:02x}" for octet in value.encode())


def finding(whole: str, forms: Sequence[Address]) -> str:
    """Return the filter for objects of a source that have one of these addresses; `whole` finds all its objects."""
    written = [escaped(text) for form in forms for text in _written(form)]
    return f"(&{whole}(|{''.join(f'(proxyAddresses=smtp:{one})(mail={one})' for one in written)}))"


def seeing(whole: str) -> str:
    """Return the filter for all objects of a source that have any address."""
    return f"(&{whole}(|(proxyAddresses=*)(mail=*)))"


def _written(address: Address) -> list[str]:
    """Return how an address may be written in a directory: with quotes, with a domain in its own script."""
    local = address.local
    names = [local]
    if not _DOT_STRING.fullmatch(local):
        names.append('"{}"'.format(local.replace("\\", "\\\\").replace('"', '\\"')))
    return [f"{name}@{domain}" for name in names for domain in _domains(address.domain)]


def _domains(domain: str) -> list[str]:
    if "xn--" not in domain:
        return [domain]
    try:
        return [domain, idna.decode(domain)]
    except idna.IDNAError:
        return [domain]
