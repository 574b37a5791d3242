"""What has changed in Active Directory since a moment: objects with a higher uSNChanged. MS-ADTS 3.1.1.1.9

Update sequence numbers are local to a domain controller: one only means something at the controller that gave it, and
only while its database is the same one (invocationId; it changes when a backup was put back). So a `Mark` holds all
three, and at any other controller there are no changes to be had, only a reading of everything. Deleted objects are not
seen: they are hidden from who has no right to the control that shows them.

Asked in a process of its own. It must never guess: where something does not fit, the answer is None.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Final

from smtproxy.lookups.recipients.connecting import (
    Connection,
    DirectorySettings,
    found,
    one_of,
)
from smtproxy.lookups.recipients.exchange import WANTED, Item

MOST_CHANGES: Final = 20_000
"""Objects that may have changed between two looks; above, everything is read: it costs less than so many pieces."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in the life of one domain controller."""

    server: str
    """Its URL, as it is configured."""
    identity: str
    """dsServiceName and invocationId."""
    usn: int
    """highestCommittedUSN: of all that changed up to it one has seen everything."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed."""

    items: list[Item]
    """Objects that match the filter now."""
    touched: list[Item]
    """All that changed, without attributes but objectGUID: who is here and not above matches no more."""
    mark: Mark
    """For the next time."""


def mark_of(connection: Connection, server: str, timeout: float) -> Mark | None:
    """Return the present moment of a server; None: it has none, as it is no Active Directory."""
    root = one_of(connection, "", ("dsServiceName", "highestCommittedUSN"), timeout)
    name, usn = root.get("dsservicename", ""), root.get("highestcommittedusn", "")
    if not name or not (usn.isascii() and usn.isdigit()):
        return None
    # Not everybody may read invocationId, and a global catalog may lack it: then the name alone has to do.
    import bonsai  # noqa: PLC0415 - an extra

    try:
        invocation = one_of(connection, name, ("invocationId",), timeout).get("invocationid", "")
    except bonsai.InsufficientAccess:
        invocation = ""
    return Mark(server, f"{name} {invocation}".rstrip().lower(), int(usn))


def changes_since(connection: Connection, settings: DirectorySettings, mark: Mark, timeout: float) -> Changes | None:
    """Return what changed; None: everything has to be read, since this cannot be told."""
    now = mark_of(connection, mark.server, timeout)
    if now is None or now.identity != mark.identity or now.usn < mark.usn:
        return None
    since = f"(uSNChanged>={mark.usn + 1})"
    # In this order: what changes in between is in the second answer as it is then, and in the next look again.
    touched = _some(connection, settings, since, ("objectGUID",))
    if touched is None:
        return None
    items = _some(connection, settings, f"(&{since}{settings.filter})", WANTED)
    return None if items is None else Changes(items, touched, now)


def _some(connection: Connection, settings: DirectorySettings, text: str, names: tuple[str, ...]) -> list[Item] | None:
    """Return the objects; None: there are too many."""
    some = list(islice(found(connection, settings.base, text, names), MOST_CHANGES + 1))
    return some if len(some) <= MOST_CHANGES else None
