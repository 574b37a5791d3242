"""The last good reading of a directory, in a file: it survives a restart while the directory is down.

It is written beside and moved in place, so a reader sees the old one or the new one, and never a half.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from smtproxy.lookups.recipients.entries import PRESENT, Entries
from smtproxy.policy.facts import RECIPIENT, RecipientEntry, restore

_VERSION = 1


def write(path: Path, entries: Mapping[str, RecipientEntry], read_at: float) -> None:
    """Write a copy; `read_at`: seconds since 1970. Raises OSError."""
    plain = {address: None if entry is PRESENT else asdict(entry) for address, entry in entries.items()}
    keep(path, {"version": _VERSION, "read_at": read_at, "entries": plain})


def keep(path: Path, plain: object) -> None:
    """Write plain values as one file, which is there whole or not at all. Raises OSError."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(orjson.dumps(plain))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def kept(path: Path) -> Any:  # noqa: ANN401 - whatever stands in it
    """Return the plain values of such a file; None: there is none, or it is no such file."""
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def read(path: Path) -> tuple[Entries, float] | None:
    """Return a copy and when it was read from the directory; None: there is none that can be used."""
    whole = kept(path)
    try:
        if whole["version"] != _VERSION:
            return None
        found = {
            address: PRESENT if plain is None else restore(RECIPIENT, plain)
            for address, plain in whole["entries"].items()
        }
        return Entries(found), float(whole["read_at"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
