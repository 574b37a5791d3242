"""Fact `header`: what the header block of the message looks like. RFC 5322 3.6"""

import re
from typing import Final

import trio

from smtproxy.network.inquiry import Inquiry, Lookup, MessageTooLarge, NotAtHand
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import HEADER, HeaderBlock
from smtproxy.wire.header_block import authors, halves, timestamp, values

SMALL: Final = 1 << 18
"""Octets of a message that is looked at on the spot: 30 ms at worst. A larger one goes to a thread, as a
header of 40 MB can take a second."""
FROMS: Final = 3
"""From fields that are read: more than one is wrong already."""

_STRICT_FROM: Final = re.compile(rb"\r\nfrom[ \t]*:", re.IGNORECASE)


def look(message: bytes, now: float) -> HeaderBlock:
    """Look at a message; `now`: seconds since 1970."""
    end, begin = halves(message)
    block = message[:end]
    found = values(message[: _end(message, end)], (b"from", b"date", b"mime-version"), FROMS)
    froms, dates = found[b"from"], found[b"date"]
    named = authors(froms.first)
    at = timestamp(dates.first[0]) if dates.first else None
    plain = message.isascii()
    raw_8bit = not plain and not block.isascii()
    body_8bit = not plain and not found[b"mime-version"].number and not message[begin:].isascii()
    return HeaderBlock(
        size=end,
        from_fields=froms.number,
        from_domains=named.domains,
        from_understood=named.understood and froms.number == 1,
        date_fields=dates.number,
        date_off=None if at is None else round(at - now, 1),
        raw_8bit=raw_8bit,
        body_8bit_undeclared=body_8bit,
    )


def _end(message: bytes, end: int) -> int:
    """Return where the header block ends for whoever takes nothing but CRLF for a newline, if From is behind `end`.

    By BDAT bare newlines go through: an empty line of them, and the author behind it is shown, but was not looked at.
    """
    if message.startswith(b"\r\n\r\n", max(0, end - 2)) or (not end and message.startswith(b"\r\n")):
        return end
    strict = message.find(b"\r\n\r\n", max(0, end - 2))
    strict = len(message) if strict < 0 else strict + 2
    return strict if _STRICT_FROM.search(message, max(0, end - 2), strict) else end


async def find(inquiry: Inquiry) -> Fact[HeaderBlock]:
    """Learn it from the held message."""
    try:
        message = await inquiry.message()
    except MessageTooLarge:
        return Unknown("too large")
    if len(message) <= SMALL:
        return Known(look(message, inquiry.now))
    if inquiry.quick:
        raise NotAtHand
    return Known(await trio.to_thread.run_sync(look, message, inquiry.now, abandon_on_cancel=True))


LOOKUP = Lookup(HEADER, find)
