"""Objects of a directory, by Exchange's attributes, into entries: for LDAP and for LDIF.

Attributes as in Active Directory with Exchange's schema: `proxyAddresses` ("SMTP:" is the primary address, "smtp:"
another one; X500:, sip:, EUM: and the like are no mail addresses), `mail` for directories without it. A disabled
account is a recipient: shared and room mailboxes are disabled accounts. Whether an object is hidden from address
lists says nothing of its mail.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from smtproxy.lookups.recipients.entries import PRESENT, Entries
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.policy.facts import RecipientEntry

WANTED = (
    "proxyAddresses",
    "mail",
    "msExchRequireAuthToSendTo",
    "delivContLength",
    "authOrig",
    "dLMemSubmitPerms",
    "unauthOrig",
    "dLMemRejectPerms",
    "member",
    "objectGUID",
)
"""The attributes that are read."""
MOST_SENDERS = 200
"""Senders that one recipient's list may name: they stand in the log. A longer list is left to the backend."""
_MOST_GROUPS = 100
"""Groups within groups that are looked into for one list."""
MOST_LISTED = MOST_SENDERS + _MOST_GROUPS
"""Names that are looked into for one list."""


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a directory."""

    dn: str
    attributes: Mapping[str, Sequence[str]]
    """By name in lower case; options (";range=0-1499") stay."""


def smtp_address(value: str) -> str | None:
    """Return the address in a value of proxyAddresses; None: it is of another kind of mail."""
    kind, colon, rest = value.partition(":")
    if not colon:
        return value
    return rest if kind.lower() == "smtp" else None


def dn_key(dn: str) -> str:
    """Return the form in which distinguished names are compared: case and blanks around commas do not count."""
    return ",".join(part.strip() for part in dn.lower().split(","))


def entries_of(items: Iterable[Item], spelling: Spelling) -> Entries:
    """Make entries of the objects that have an address."""
    everything = list(items)
    whole = _Directory(everything, spelling)
    entries = Entries()
    for item in everything:
        addresses = whole.addresses(item, entries)
        if addresses:
            entry = whole.entry(item)
            for address in addresses:
                entries.add(address, entry)
    return entries


class _Directory:
    """All objects, by name: lists of senders name others."""

    def __init__(self, items: Iterable[Item], spelling: Spelling) -> None:
        self._spelling = spelling
        self._by_dn = {dn_key(item.dn): item for item in items}

    def addresses(self, item: Item, entries: Entries | None = None) -> list[Address]:
        """Return the mail addresses of an object."""
        found: list[Address] = []
        for value in [*item.attributes.get("proxyaddresses", ()), *item.attributes.get("mail", ())]:
            text = smtp_address(value)
            if text is None:
                continue
            address = self._spelling.read(text)
            if address is not None:
                found.append(address)
            elif entries is not None:
                entries.skip(f"{item.dn}: {text}")
        return found

    def entry(self, item: Item) -> RecipientEntry:
        """Return what the attributes of an object say of its mail."""
        attributes = item.attributes
        entry = RecipientEntry(
            exists=True,
            requires_authentication=_first(attributes, "msexchrequireauthtosendto").upper() == "TRUE",
            size_limit=_kilobytes(_first(attributes, "delivcontlength")),
            allowed_senders=self._senders(attributes, "authorig", "dlmemsubmitperms"),
            denied_senders=self._senders(attributes, "unauthorig", "dlmemrejectperms"),
        )
        return PRESENT if entry == PRESENT else entry

    def _senders(self, attributes: Mapping[str, Sequence[str]], *names: str) -> tuple[str, ...]:
        """Return the addresses that a list of names stands for.

        A list of which one part cannot be told is empty: it is better to let the backend refuse than to refuse a
        sender who stands in the part that was not seen.
        """
        found: dict[str, None] = {}
        open_names = [dn for name in names for dn in attributes.get(name, ())]
        seen = set(open_names)
        while open_names:
            item = self._by_dn.get(dn_key(open_names.pop()))
            addresses = [] if item is None else self.addresses(item)
            members = [] if item is None else list(item.attributes.get("member", ()))
            if item is None or not (addresses or members) or any(one.startswith("member;") for one in item.attributes):
                return ()
            found.update(dict.fromkeys(str(address).lower() for address in addresses))
            open_names += [dn for dn in members if dn not in seen]
            seen.update(members)
            if len(found) > MOST_SENDERS or len(seen) > MOST_LISTED:
                return ()
        return tuple(sorted(found))


def _first(attributes: Mapping[str, Sequence[str]], name: str) -> str:
    values = attributes.get(name, ())
    return values[0] if values else ""


def _kilobytes(text: str) -> int | None:
    """Read delivContLength: kilobytes; 0 or nothing: no limit of its own."""
    return int(text) * 1024 or None if text.isascii() and text.isdigit() else None
