"""A mail transaction as the sample backend keeps it, and what the server thinks of its message in the end.

It must never change anything: refusing and accepting are the conversation's and the record's.
"""

import re
from dataclasses import dataclass, field

from smtproxy.sample.profile import Profile, UnknownRecipients
from smtproxy.sample.record import Delivery, Recipient

_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r?\n[ \t]+)?(<[!-~]{1,900}>)", re.IGNORECASE | re.MULTILINE)
_RECEIVED = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_HEADER_LIMIT = 262_144  # Exchange MaxHeaderSize, 256 KB


@dataclass(slots=True)
class Transaction:
    """From MAIL to the end of the message."""

    sender: str = ""
    parameters: tuple[str, ...] = ()
    recipients: list[Recipient] = field(default_factory=list)
    unknown: bool = False
    """A recipient was accepted that does not exist."""
    utf8: bool = False
    binary: bool = False
    via: str = ""
    """"DATA" or "BDAT" once content has begun."""
    content: bytearray = field(default_factory=bytearray)
    octets: int = 0
    failed: bool = False
    """A chunk was refused: the rest is refused until LAST or RSET."""


def judge(profile: Profile, transaction: Transaction, delivery: Delivery) -> tuple[str, str]:
    """The reply text to the end of the message, not yet filled, and the message's id (its own, or a new one)."""
    # The line end in front: a body that opens with an empty line has an empty header.
    header = (b"\r\n" + delivery.body[:_HEADER_LIMIT]).partition(b"\r\n\r\n")[0]
    texts = profile.texts
    if not transaction.recipients:
        text = texts.rcpt_first
    elif delivery.octets > profile.max_size:
        text = texts.too_large
    elif transaction.unknown and profile.unknown_recipients is UnknownRecipients.RECIPIENT_FILTER:
        text = texts.unknown_recipient
    elif len(_RECEIVED.findall(header)) > profile.max_hops:
        text = texts.loop
    elif profile.refuses_bare_newlines and _BARE.search(delivery.wire):
        text = texts.bare_newline
    else:
        text = texts.final
    found = _MESSAGE_ID.search(header)
    return text, found[1].decode() if found else f"<{delivery.internal_id}@{profile.hostname}>"
