"""How a server of a directory is connected and bound, and what becomes of the objects it gives. RFC 4511

bonsai is loaded by the first question, and no sooner: it is an extra. Referrals are never followed: they lead to
servers that nobody configured, with our password.

Everything here runs in a process of its own, see `ldap_process`. bonsai's `TrioLDAPConnection` was tried and is wrong
here: StartTLS with libldap on GnuTLS (Debian) never comes to an end, whatever the certificate.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.exchange import Item

PAGE: Final = 1000
"""Entries of a page: Active Directory gives no more (MaxPageSize)."""
BASE, SUBTREE = 0, 2
"""Scopes of a search. RFC 4511 4.5.1.2"""
_RAW: Final = ("objectGUID", "invocationId")
"""Attributes that are octets and no text; they become hexadecimal."""

Connection: TypeAlias = Any
"""bonsai's: it has no types."""


@dataclass(frozen=True, slots=True)
class DirectorySettings:
    """How it is asked."""

    servers: tuple[str, ...]
    """URLs: "ldap://host:3268", "ldaps://host:3269"."""
    base: str
    filter: str
    starttls: bool = True
    """For those that begin with ldap://."""
    authorities: Path | None = None
    """PEM file of those whose certificates are trusted; None: those of the system."""
    user: str = ""
    """DN or user principal name; empty: anonymous."""
    password_file: Path | None = None
    timeout: float = 30.0
    """Seconds for one server, the whole reading included."""
    ask_timeout: float = 4.0
    """Seconds for the question about one address, all servers included."""
    configuration_base: str = ""
    """Below which the accepted domains are; empty: the root DSE says it."""


def connect(settings: DirectorySettings, server: str, timeout: float) -> Connection:
    """Connect and bind, within so many seconds. Raises bonsai's errors, OSError, and SourceError for the password."""
    import bonsai  # noqa: PLC0415 - an extra

    client = bonsai.LDAPClient(server, settings.starttls and server.startswith("ldap://"))
    client.set_cert_policy("demand")
    client.set_server_chase_referrals(False)
    client.set_ignore_referrals(True)
    client.set_raw_attributes(list(_RAW))
    if settings.authorities is not None:
        client.set_ca_cert(str(settings.authorities))
    if settings.user:
        client.set_credentials("SIMPLE", user=settings.user, password=password(settings.password_file))
    return client.connect(timeout=timeout)


def password(path: Path | None) -> str:
    """Return the password in a file, which may have been changed since. Raises SourceError."""
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        raise SourceError(f"the password file cannot be read: {getattr(error, 'strerror', error)}") from None


def item_of(entry: Any) -> Item:  # noqa: ANN401 - bonsai has no types
    """Copy an entry: text of every value, whatever bonsai has made of it."""
    raw = {name.lower() for name in _RAW}
    attributes: dict[str, Sequence[str]] = {}
    for name, values in entry.items():
        key = str(name).lower()
        if key != "dn":
            attributes[key] = [_octets(value).hex() if key in raw else _text(value) for value in values]
    return Item(str(entry.dn), attributes)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _octets(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def found(
    connection: Connection, base: str, text: str, names: Sequence[str], limit: float | None = None
) -> Iterator[Item]:
    """Yield the objects below a base that a filter finds: page by page, or, with a limit in seconds, at once.

    No limit for pages: bonsai 1.5.5 does not survive one that is reached.
    """
    if limit is None:
        entries = connection.paged_search(base, SUBTREE, text, list(names), page_size=PAGE)
    else:
        entries = connection.search(base, SUBTREE, text, list(names), timeout=limit)
    return map(item_of, entries)


def one_of(connection: Connection, dn: str, names: Sequence[str], timeout: float) -> dict[str, str]:
    """Return attributes of one object, the first value of each, by name in lower case; those it has not are missing."""
    found = connection.search(dn, BASE, "(objectClass=*)", list(names), timeout=timeout)
    return {} if not found else {name: values[0] for name, values in item_of(found[0]).attributes.items() if values}


def words(error: Exception) -> str:
    """Say what was wrong, for people."""
    return " ".join(str(error).split())[:200] or type(error).__name__
