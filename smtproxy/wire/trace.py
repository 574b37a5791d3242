"""Writes the Received field that we put in front of a message. RFC 5321 4.4

Backends take the client's address from it, so it must be well formed whatever the client called itself: no claim of a
client may add a line, a clause or an address that could be taken for the true one.
"""

import re
from datetime import UTC, datetime

# A host name as it is used, underscores included; the last label is no number, or it would be an address. RFC 1123 2.1
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}")
_MAX_NAME = 255  # RFC 5321 4.5.3.1.2
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}")
# RFC 5321 4.4: a host of that name would look like the beginning of a clause.
_CLAUSES = frozenset(("from", "by", "via", "with", "id", "for"))
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def received_field(
    *, hello: str | None, client: str, hostname: str, protocol: str, tls: str | None, transaction: str, timestamp: float
) -> bytes:
    """Write the time stamp line, folded, ending included.

    `hello`: what the client called itself, any text; what is no host name is written as "unknown", and so is an address
    literal that is not the client's own. `client`: its address. `hostname`, `protocol` (RFC 3848) and `transaction` are
    our own words, and so is `tls` (what protects the connection). `timestamp`: seconds since 1970.
    """
    literal = address_literal(client)
    protection = f"\r\n (using {tls})" if tls else ""
    return (
        f"Received: from {_hello(hello, literal)} ({literal}){protection}\r\n"
        f" by {hostname} with {protocol} id {transaction};\r\n"
        f" {_date(timestamp)}\r\n"
    ).encode("ascii", "replace")


def address_literal(address: str) -> str:
    """Write an IP address as RFC 5321 4.1.3 does: [192.0.2.1] or [IPv6:2001:db8::1]; [unknown] for what is none."""
    address = address.partition("%")[0]  # the zone of a link-local address means nothing elsewhere
    if address.startswith("::ffff:") and "." in address:
        address = address.removeprefix("::ffff:")  # IPv4 on an IPv6 socket. RFC 4291 2.5.5.2
    if not _ADDRESS.fullmatch(address):
        return "[unknown]"
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _hello(hello: str | None, literal: str) -> str:
    if hello is None or len(hello) > _MAX_NAME:
        return "unknown"
    if hello.lower() == literal.lower():
        return literal
    name = hello.removesuffix(".")
    return name if _NAME.fullmatch(name) and name.lower() not in _CLAUSES else "unknown"


def _date(timestamp: float) -> str:
    """Write a date and time of RFC 5322 3.3, in UTC; strftime would follow the locale."""
    at = datetime.fromtimestamp(timestamp, UTC)
    day = f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year}"
    return f"{day} {at.hour:02}:{at.minute:02}:{at.second:02} +0000"
