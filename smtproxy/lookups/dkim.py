"""Fact `dkim`: the signatures of the message, each with what became of it. RFC 6376, RFC 8301, RFC 8463

Verified by dkimpy, behind the guard of `signed_message`. What dkimpy lets pass is looked at here: `h=` without From
(any author could be put in), `x=` in the past, the kind, hash, service and strictness (`t=s`) that a key record asks
for.
"""

import re
from dataclasses import dataclass
from typing import Final

import dkim
import trio

from smtproxy.lookups.signed_message import (
    BODY_DIFFERS,
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
from smtproxy.policy.facts import DKIM, Signature, Signatures
from smtproxy.wire.paths import domain_key

MOST_SIGNATURES: Final = 10
"""Signatures that are looked at, from the top. Honest mail has up to four; a message with 100 is an attack."""

_ALGORITHMS: Final = {b"rsa-sha256": b"rsa", b"ed25519-sha256": b"ed25519"}
"""What is verified (RFC 8301 3.1, RFC 8463), and the kind of key it takes."""
_BETTER: Final = ("pass", "fail", "permerror", "temperror")
_WHITE: Final = re.compile(rb"\s+")


@dataclass(frozen=True, slots=True)
class _Claim:
    """A signature before it is verified."""

    place: int
    """Among the signatures of the message, from the top."""
    tags: dict[bytes, bytes]
    key: str
    signature: Signature
    """With a result only if it cannot be verified."""


async def find(inquiry: Inquiry) -> Fact[Signatures]:
    """Learn it from the held message."""
    try:
        message = await inquiry.message()
        if len(message) > LARGEST_MESSAGE:
            return Unknown("too large")
        signed = SignedMessage(message)
    except MessageTooLarge:
        return Unknown("too large")
    except Unusable as why:
        # No honest mail. Were it unknown, whoever pads his header would be spared what DMARC asks for.
        return Known(Signatures((Signature("", "", "permerror", str(why)),)))
    values = signed.signatures(b"dkim-signature")
    claims = [_claim(place, value, inquiry.now) for place, value in enumerate(values[:MOST_SIGNATURES])]
    open_claims = [claim for claim in claims if not claim.signature.result]
    more = max(0, len(values) - MOST_SIGNATURES)
    if not open_claims:
        return Known(Signatures(tuple(claim.signature for claim in claims), more))
    if inquiry.quick:
        raise NotAtHand  # numbers are raised to powers in a thread
    keys = await fetch_all(inquiry.dns, [claim.key for claim in open_claims])

    def verified() -> tuple[Signature, ...]:
        return tuple(
            claim.signature if claim.signature.result else _verify(signed, claim, keys[claim.key]) for claim in claims
        )

    found = await trio.to_thread.run_sync(verified, abandon_on_cancel=True, limiter=THREADS)
    return Known(Signatures(found, more))


LOOKUP = Lookup(DKIM, find)


def _claim(place: int, value: bytes, now: float) -> _Claim:
    """Read one signature, and refuse what need not be verified."""
    try:
        said = tags(value)
    except Unusable as why:
        return _Claim(place, {}, "", Signature("", "", "permerror", str(why)))
    algorithm = said.get(b"a", b"")
    result = reason = ""
    if not signs_author(said):
        result, reason = "permerror", "From is not signed"
    elif algorithm not in _ALGORITHMS:
        result, reason = "permerror", "algorithm"
    elif b"x" in said and said[b"x"].isdigit() and float(said[b"x"][:20]) <= now:
        result, reason = "fail", "expired"
    return _Claim(
        place,
        said,
        key_name(said),
        Signature(
            _text(said.get(b"d", b"")),
            _text(said.get(b"s", b"")),
            result,
            reason,
            partial=b"l" in said,
            algorithm=_text(algorithm)[:32],
        ),
    )


def _text(octets: bytes) -> str:
    return domain_key(_WHITE.sub(b"", octets[:255]).decode("utf-8", "replace"))


def _verify(signed: SignedMessage, claim: _Claim, keys: Keys) -> Signature:
    """Try each key. Runs in a thread."""
    if keys.unknown:
        return _with(claim, "temperror", keys.unknown)
    if not keys.records:
        return _with(claim, "permerror", "no key")
    tried = [_verify_by(signed, claim, record) for record in keys.records]
    return min(tried, key=lambda one: _BETTER.index(one.result))


def _verify_by(signed: SignedMessage, claim: _Claim, record: bytes) -> Signature:
    try:
        key = checked_key(record)
    except Unusable as why:
        return _with(claim, "permerror", str(why))
    flags = _listed(key.get(b"t", b""))
    unfit = _unfit(claim.tags, key, flags)
    if unfit:
        return _with(claim, "permerror", unfit)
    testing = b"y" in flags
    try:
        right = told(dkim.DKIM(), signed).verify(claim.place, dnsfunc=lambda *_, **__: record)
    except Exception as error:  # noqa: BLE001 - DKIMException, and others for what it does not expect
        if str(error) == BODY_DIFFERS:
            return _with(claim, "fail", BODY_DIFFERS, testing=testing)
        return _with(claim, "permerror", "syntax", testing=testing)
    return _with(claim, "pass" if right else "fail", "" if right else "signature differs", testing=testing)


def _unfit(said: dict[bytes, bytes], key: dict[bytes, bytes], flags: set[bytes]) -> str:
    """Return why a key is not for this signature; empty: it is. RFC 6376 3.6.1"""
    if key.get(b"k", b"rsa") != _ALGORITHMS[said[b"a"]]:
        return "key of another kind"
    if b"h" in key and b"sha256" not in _listed(key[b"h"]):
        return "key for other hashes"
    if b"s" in key and not {b"*", b"email"} & _listed(key[b"s"]):
        return "key for another service"
    if b"s" in flags and b"i" in said and _text(said[b"i"].rpartition(b"@")[2]) != _text(said[b"d"]):
        return "key is for its own domain only"
    return ""


def _listed(value: bytes) -> set[bytes]:
    return set(_WHITE.sub(b"", value).lower().split(b":"))


def _with(claim: _Claim, result: str, reason: str, *, testing: bool = False) -> Signature:
    one = claim.signature
    return Signature(one.domain, one.selector, result, reason, one.partial, testing, one.algorithm)
