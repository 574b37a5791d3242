"""Fact `arc`: the chain of those who passed the message on. RFC 8617

Verified by dkimpy, behind the guard of `signed_message`. A chain that passes says nothing by itself: it is worth what
its sealers are worth, and whom to trust is configuration.
"""

import re
from typing import Final

import dkim
import trio

from smtproxy.lookups.signed_message import (
    LARGEST_MESSAGE,
    THREADS,
    Keys,
    SignedMessage,
    Unusable,
    checked_key,
    fetch_all,
    key_name,
    signs_author,
    tags,
    told,
)
from smtproxy.network.inquiry import Inquiry, Lookup, MessageTooLarge, NotAtHand
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import ARC, Arc
from smtproxy.wire.header_block import outside
from smtproxy.wire.paths import domain_key

MOST_SETS: Final = 20
"""ARC sets that are verified; a longer chain fails. RFC 8617 4.2.1 allows 50, and each is two signatures; real chains
have up to five."""
LARGEST_RESULTS: Final = 16384
"""Octets of an ARC-Authentication-Results field that is read."""

_DMARC: Final = re.compile(r";\s*dmarc\s*=\s*([a-z]+)", re.IGNORECASE)


async def find(inquiry: Inquiry) -> Fact[Arc]:
    """Learn it from the held message."""
    try:
        message = await inquiry.message()
        if len(message) > LARGEST_MESSAGE:
            return Unknown("too large")
        signed = SignedMessage(message)
    except MessageTooLarge:
        return Unknown("too large")
    except Unusable:
        return Known(Arc("fail"))  # as in dkim.py: nobody is to gain by a header that cannot be read
    seals, signatures = (signed.signatures(name) for name in (b"arc-seal", b"arc-message-signature"))
    results = signed.signatures(b"arc-authentication-results")
    if not (seals or signatures or results):
        return Known(Arc("none"))
    if not len(seals) == len(signatures) == len(results) <= MOST_SETS:
        return Known(Arc("fail"))  # RFC 8617 5.2: a set has one of each; dkimpy ignores those it cannot number.
    try:
        asked = [tags(value) for value in (*seals, *signatures)]
    except Unusable:
        return Known(Arc("fail"))
    if any(b"bh" in said and not signs_author(said) for said in asked):
        return Known(Arc("fail"))
    if inquiry.quick:
        raise NotAtHand
    keys = await fetch_all(inquiry.dns, [key_name(said) for said in asked])
    unknown = [one.unknown for one in keys.values() if one.unknown]
    if unknown:
        return Unknown(unknown[0])
    return Known(await trio.to_thread.run_sync(_verify, signed, keys, abandon_on_cancel=True, limiter=THREADS))


LOOKUP = Lookup(ARC, find)


def _verify(signed: SignedMessage, keys: dict[str, Keys]) -> Arc:
    """Verify a chain. Runs in a thread."""

    def record(name: bytes, **_: object) -> bytes:
        for one in keys.get(domain_key(name.decode("utf-8", "replace")), Keys()).records:
            try:
                checked_key(one)
            except Unusable:
                continue
            return one
        return b""

    try:
        result, sets, _ = told(dkim.ARC(), signed).verify(dnsfunc=record)
    except Exception:  # noqa: BLE001 - DKIMException, and others for what it does not expect
        return Arc("fail")
    if result != dkim.CV_Pass:
        return Arc("none" if result == dkim.CV_None else "fail")
    sealers = tuple(domain_key(one["as-domain"].decode("utf-8", "replace"))[:255] for one in sets)
    said = _DMARC.search(outside(sets[0]["aar-value"][:LARGEST_RESULTS].decode("utf-8", "replace")))
    return Arc("pass", sealers, said[1].lower() if said else "")
