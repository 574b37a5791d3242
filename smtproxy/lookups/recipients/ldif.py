"""LDIF, as `ldapsearch`, `ldifde` and `slapcat` write it. RFC 2849

Read are records of content; changes are refused, since half of what they say is about a state that is not known here.
"""

import base64
import binascii
from collections.abc import Iterator

from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.exchange import Item


def items(text: str) -> Iterator[Item]:
    """Yield the objects. Raises SourceError with the line."""
    dn, attributes = "", dict[str, list[str]]()
    for number, line in _unfolded(text):
        if not line:
            if dn:
                yield Item(dn, attributes)
            dn, attributes = "", {}
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise SourceError(f"line {number} is no LDIF: there is no colon in it")
        name, value = name.lower(), _decoded(value, number)
        if name == "dn":
            if dn:
                raise SourceError(f"line {number}: a second dn, and no empty line before it")
            dn = value
        elif name == "changetype" and value.lower() != "add":
            raise SourceError(f"line {number}: a record of changes ({value}); export the content")
        elif dn:
            attributes.setdefault(name, []).append(value)
        elif name not in ("version", "search", "result"):  # what stands around the records
            raise SourceError(f"line {number}: an attribute without dn")
    if dn:
        yield Item(dn, attributes)


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Yield logical lines with the number of the first line of each; comments left out, an empty line at the end."""
    first, line = 1, ""
    for number, piece in enumerate([*text.splitlines(), ""], 1):
        if piece.startswith(" ") and line:
            line += piece[1:]
            continue
        if not line.startswith("#") and number > 1:
            yield first, line
        first, line = number, piece
    yield first, ""


def _decoded(value: str, number: int) -> str:
    if value.startswith(":"):
        try:
            return base64.b64decode(value[1:].strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise SourceError(f"line {number}: this is no base64") from None
    if value.startswith("<"):
        raise SourceError(f"line {number}: the value stands in another file")
    return value.removeprefix(" ").rstrip()
