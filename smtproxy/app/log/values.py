r"""Makes anything loggable: any object becomes plain JSON values of bounded size without control characters.

Must never raise and never be slow: what is cut is not looked at. Control characters, and those that reorder or break
lines on a terminal, become visible escapes (`\x1b`), so that a peer's octets can neither forge a line nor drive a
terminal.
"""

import ipaddress
import re
import traceback
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import date, datetime, time
from enum import Enum
from itertools import islice
from pathlib import PurePath
from types import TracebackType
from uuid import UUID

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]

TEXT = 1000
"""Octets of one string: RFC 5322 2.1.1 allows 998 in a header line, RFC 5321 4.5.3.1.5 has 512 in a reply line."""
ELEMENTS = 100
"""Elements of one list, fields of one object: RFC 5321 4.5.3.1.8 has senders use 100 recipients at most."""
KEY = 100
"""Octets of one field name: ours have 21 at most."""
DEPTH = 8
"""Levels of lists and objects: `findings` with evidence has five."""
CUT = "...[cut]"

_INTEGER = range(-(2**63), 2**64)  # what orjson and other readers of JSON take

# C0, DEL, C1; line and paragraph separator; bidirectional overrides and isolates; byte order mark; lone surrogates.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


_NONE_WIDER: Mapping[str, int] = {}


class Allowance:
    """Octets that a value may still take, roughly as JSON. Bounds the work too: what is beyond is not converted."""

    __slots__ = ("octets",)

    def __init__(self, octets: int) -> None:
        self.octets = octets


def bounded_fields(
    fields: Mapping[str, object], allowance: int, wide: Mapping[str, int] = _NONE_WIDER
) -> dict[str, Plain]:
    """Plain, bounded form of a line's fields; each may take `allowance` octets, or what `wide` says of it, whatever
    the others take.
    """
    out: dict[str, Plain] = {}
    for key, value in islice(fields.items(), ELEMENTS):
        out[_key(key)] = bounded(value, Allowance(wide.get(key, allowance)))
    if len(fields) > ELEMENTS:
        out["fields_cut"] = len(fields) - ELEMENTS
    return out


def bounded(value: object, allowance: Allowance, depth: int = DEPTH) -> Plain:
    """Plain, bounded form of any object. One that cannot even be looked at becomes the name of its type."""
    if allowance.octets <= 0 or depth <= 0:
        return CUT
    try:
        if type(value) is str:  # nearly all values: ahead of the long way
            return text(value, allowance)
        return _convert(value, allowance, depth)
    except Exception:  # noqa: BLE001 - an object may raise anything when it is looked at, and a log call raises nothing
        return text(f"<{type(value).__name__}>", allowance)


def text(value: str, allowance: Allowance | None = None, limit: int = TEXT) -> str:
    """The string, or its first `limit` octets (fewer if the allowance has fewer) and a marker; controls escaped."""
    if allowance is not None:
        limit = min(limit, max(allowance.octets, 0))
    out = value[: limit + 1]
    if not out.isprintable():  # nothing that CONTROL names is printable
        out = CONTROL.sub(_escape, out)
    octets = out.encode()
    if len(octets) > limit:
        out = octets[:limit].decode(errors="ignore") + CUT
    if allowance is not None:
        allowance.octets -= min(len(octets), limit) + 3
    return out


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _key(key: object) -> str:
    return text(key if isinstance(key, str) else repr(key), limit=KEY)


def _convert(value: object, allowance: Allowance, depth: int) -> Plain:
    match value:
        case None | bool():
            allowance.octets -= 6
            return value
        case Enum():
            return bounded(value.value, allowance, depth - 1)
        case str():
            return text(value, allowance)
        case int() if int(value) in _INTEGER:
            allowance.octets -= 20
            return int(value)
        case float():
            allowance.octets -= 20
            return float(value)
        case bytes() | bytearray():
            return text(bytes(value[: TEXT + 1]).decode(errors="backslashreplace"), allowance)
        case Mapping():
            return _object(value, allowance, depth)
        case list() | tuple() | set() | frozenset() | deque():
            return _list(value, allowance, depth)
        case _:
            return _other(value, allowance, depth)


def _object(value: Mapping[object, object], allowance: Allowance, depth: int) -> Plain:
    out: dict[str, Plain] = {}
    for key, inner in islice(value.items(), ELEMENTS):
        if allowance.octets <= 0:
            break
        name = _key(key)
        allowance.octets -= len(name) + 4
        out[name] = bounded(inner, allowance, depth - 1)
    if len(value) > len(out):
        out[CUT] = len(value) - len(out)
    return out


def _list(value: Collection[object], allowance: Allowance, depth: int) -> Plain:
    out: list[Plain] = []
    for inner in islice(value, ELEMENTS):
        if allowance.octets <= 0:
            break
        out.append(bounded(inner, allowance, depth - 1))
    if len(value) > len(out):
        out.append(f"{CUT[:-1]} {len(value) - len(out)} more]")
    return out


def _other(value: object, allowance: Allowance, depth: int) -> Plain:
    match value:
        case BaseException():
            return text(f"{type(value).__name__}: {value}", allowance)
        case TracebackType():
            # The innermost frames, innermost first, no source lines: those could show data.
            frames = traceback.extract_tb(value)[-20:]
            return _list(
                [f"{PurePath(at.filename).name}:{at.lineno} {at.name}" for at in reversed(frames)], allowance, depth
            )
        case datetime() | date() | time():
            return text(value.isoformat(), allowance)
        case UUID() | PurePath() | ipaddress.IPv4Address() | ipaddress.IPv6Address():
            return text(str(value), allowance)
        case ipaddress.IPv4Network() | ipaddress.IPv6Network():
            return text(str(value), allowance)
        case _ if is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclass_fields(value) if not field.name.startswith("_")]
            return _object({name: getattr(value, name) for name in names}, allowance, depth)
        case _:
            return text(repr(value), allowance)
