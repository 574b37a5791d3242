"""A directory, asked by LDAP: Active Directory's domain controllers and global catalogs, or another one. RFC 4511

bonsai is loaded by the first question, and no sooner: it is an extra. Servers are tried in their order. Referrals are
never followed: they lead to servers that nobody configured, with our password.

It runs in a thread. bonsai's `TrioLDAPConnection` was tried and is wrong here: StartTLS with libldap on GnuTLS (Debian)
never comes to an end, whatever the certificate, while the same in a thread takes 20 ms.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.exchange import WANTED, Item

PAGE = 1000
"""Entries of a page: Active Directory gives no more (MaxPageSize)."""
MOST_ENTRIES = 2_000_000
"""Objects that are read: a forest of this size is none, and the filter is wrong."""
_THREADS = trio.CapacityLimiter(4)
"""Of their own: a reading that was given up goes on until the server lets it, and must not take the threads in which
messages are read from disk."""


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


async def read_all(settings: DirectorySettings) -> list[Item]:
    """Read all objects that may be recipients, from the first server that gives them. Raises SourceError."""
    troubles: list[str] = []
    password = _password(settings.password_file)
    for server in settings.servers:
        try:
            with trio.fail_after(settings.timeout):
                return await trio.to_thread.run_sync(
                    _read, settings, server, password, abandon_on_cancel=True, limiter=_THREADS
                )
        except trio.TooSlowError:
            troubles.append(f"{server}: no answer within {settings.timeout:g} s")
        except SourceError:
            raise
        except Exception as error:  # noqa: BLE001 - bonsai's errors, OSError, TimeoutError: the next server may do better
            troubles.append(f"{server}: {_words(error)}")
    raise SourceError("; ".join(troubles))


def _read(settings: DirectorySettings, server: str, password: str) -> list[Item]:
    import bonsai  # noqa: PLC0415 - an extra

    client = bonsai.LDAPClient(server, settings.starttls and server.startswith("ldap://"))
    client.set_cert_policy("demand")
    client.set_server_chase_referrals(False)
    client.set_ignore_referrals(True)
    if settings.authorities is not None:
        client.set_ca_cert(str(settings.authorities))
    if settings.user:
        client.set_credentials("SIMPLE", user=settings.user, password=password)
    connection = client.connect(timeout=settings.timeout)
    try:
        found = connection.paged_search(
            settings.base,
            bonsai.LDAPSearchScope.SUBTREE,
            settings.filter,
            list(WANTED),
            timeout=settings.timeout,
            page_size=PAGE,
        )
        items: list[Item] = []
        for entry in found:
            items.append(_item(entry))
            if len(items) > MOST_ENTRIES:
                raise SourceError(f"there are more than {MOST_ENTRIES} objects: the filter finds too much")
        return items
    finally:
        connection.close()


def _item(entry: Any) -> Item:  # noqa: ANN401 - bonsai has no types
    """Copy an entry: text of every value, whatever bonsai has made of it."""
    return Item(
        str(entry.dn),
        {str(name).lower(): [_text(value) for value in values] for name, values in entry.items() if name != "dn"},
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        raise SourceError(f"the password file cannot be read: {getattr(error, 'strerror', error)}") from None


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
