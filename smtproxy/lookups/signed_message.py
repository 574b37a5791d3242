"""A message as dkimpy is to see it, and key records as it is to be given them. RFC 6376, RFC 8617

dkimpy is the only complete implementation, and trusts its input too much to be let at a stranger's message: it splits
the body into lines (gigabytes for a body of newlines), strips blanks in quadratic time (minutes for a line of a
megabyte of blanks), canonicalises and hashes header and body anew for each key of each signature, looks for each name
of `h=` among all fields, and raises bignums to the power the key says. So here:

* the message is cut in two and canonicalised once, in linear time; dkimpy gets the fields of signatures alone and is
  told all hashes;
* fields, signatures and keys that are too large for it are not shown to it;
* it never asks the DNS: keys are fetched before, on trio, so that a slow name server holds no thread.
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import dkim
import dkim.crypto
import trio
from nacl.exceptions import BadSignatureError

from smtproxy.network.dns.answers import Resolver, Status
from smtproxy.wire.header_block import fields, halves
from smtproxy.wire.paths import domain_key

LARGEST_MESSAGE: Final = 30 << 20
"""Octets of a message whose signatures are looked at: a second of work and four copies of it. Gmail and Outlook send up
to 25 MB before encoding; what is larger is Unknown("too large")."""
LARGEST_HEADER: Final = 1 << 18
"""Octets of a header block whose signatures are looked at. Exchange takes 256 KB (MaxHeaderSize), Postfix 100 KiB. Ten
signatures with three keys each of RSA-4096 cost 0.1 s of one of two threads then."""
MOST_FIELDS: Final = 2000
"""Header fields. Honest mail has up to 200."""
LARGEST_SIGNATURE: Final = 8192
"""Octets of one signature field. With a long `h=` and RSA-4096 honest ones have 2,500."""
LONGEST_BLANK: Final = 40
"""Blanks in a row in a signature field: dkimpy's patterns for `b=` are quadratic in them. Folding needs three."""
MOST_NAMES: Final = 256
"""Names in `h=`. Honest ones have 60."""
LARGEST_KEY_RECORD: Final = 4096
"""Octets of a key record. RSA-4096 has 740."""
MOST_KEY_RECORDS: Final = 3
"""Key records of one name that are tried. RFC 6376 3.6.2.2 allows one; two are seen while keys are changed."""
MOST_BITS: Final = 4096
"""Of an RSA key. RFC 6376 3.3.3 asks for up to 2048."""
LEAST_BITS: Final = 1024
"""Of an RSA key. RFC 8301 3.2"""
MOST_EXPONENT_BITS: Final = 64
"""Of its public exponent, which is 65537 everywhere: the time of a check grows with it."""

THREADS: Final = trio.CapacityLimiter(2)
"""Checks of signatures at once in a process: they are pure Python. A check that is given up goes on to its end and
keeps its place until then, so this is a bound for what is given up, too."""

BODY_DIFFERS: Final = "body hash differs"
"""The text of the one error of dkimpy that is told from others."""

_SIGNATURES: Final = frozenset(
    (b"dkim-signature", b"arc-seal", b"arc-message-signature", b"arc-authentication-results")
)
_WHITE: Final = re.compile(rb"\s+")
_BLANKS: Final = re.compile(rb"\s{%d}" % LONGEST_BLANK)


class Unusable(Exception):  # noqa: N818 - it is caught where it becomes a result
    """A signature, key or message that cannot be judged; the text says why, in our own words."""


class SignedMessage:
    """The parts of a message, once for all its signatures."""

    __slots__ = (
        "_begin", "_block", "_by_name", "_canonical", "_fields", "_hashes", "_header_hashes", "_lower", "_message",
    )  # fmt: skip

    def __init__(self, message: bytes) -> None:
        """Cut the message in two. Raises Unusable: its header is too large."""
        end, self._begin = halves(message)
        if end > LARGEST_HEADER:
            raise Unusable("header too large")
        self._block = block = message[:end]
        self._lower = block.lower()
        self._fields: list[tuple[bytes, bytes]] | None = None
        if block.count(b"\n") + block.count(b"\r") >= MOST_FIELDS:
            self._all()  # raises where they are that many
        self._message = message
        self._canonical: dict[bool, bytes] = {}
        self._hashes: dict[tuple[bool, int | None], bytes] = {}
        self._by_name: dict[bool, dict[bytes, list[bytes]]] = {}
        self._header_hashes: dict[tuple[bool, tuple[bytes, ...], tuple[bytes, bytes]], Any] = {}

    def _all(self) -> list[tuple[bytes, bytes]]:
        """Return all fields, as they came."""
        if self._fields is None:
            # Cut before they are made: a quarter of a million of them held the loop for 0.2 s.
            found = list(islice(fields(self._block), MOST_FIELDS + 1))
            if len(found) > MOST_FIELDS:
                raise Unusable("too many header fields")
            self._fields = found
        return self._fields

    def headers(self, names: Container[bytes] | None = None) -> list[list[bytes]]:
        """Return name and value of each field (of these names, in lower case), with no newlines but CRLF, as dkimpy has
        them and may change them.
        """
        return [[name, _value(value)] for name, value in self._all() if names is None or name.lower() in names]

    def signatures(self, name: bytes) -> list[bytes]:
        """Return the values of the fields of this name (lower case), the topmost first."""
        if name not in self._lower:  # most messages have no ARC, many no DKIM
            return []
        return [_value(value) for field, value in self._all() if field.lower() == name]

    def body_hash(self, length: int | None, *, relaxed: bool) -> bytes:
        """Return the SHA-256 of the canonical body, or of its first octets. RFC 6376 3.4.3, 3.4.4"""
        if (relaxed, length) not in self._hashes:
            if relaxed not in self._canonical:
                body = self._message[self._begin :]
                self._canonical[relaxed] = _relaxed(body) if relaxed else _without_empty_lines(_crlf(body))
            self._hashes[relaxed, length] = hashlib.sha256(memoryview(self._canonical[relaxed])[:length]).digest()
        return self._hashes[relaxed, length]

    def header_hash(self, names: Sequence[bytes], signature: tuple[bytes, bytes], *, relaxed: bool) -> Any:  # noqa: ANN401
        """Return the SHA-256, as hashlib has it, of the fields that a signature covers, and of itself without `b=`.

        `names`: of `h=`, in lower case. Once for all keys of a signature. RFC 6376 3.7, 5.4.2
        """
        key = (relaxed, tuple(names), signature)
        if key not in self._header_hashes:
            if relaxed not in self._by_name:
                by_name = self._by_name.setdefault(relaxed, {})
                for name, value in _canonical(relaxed, self.headers()):
                    by_name.setdefault(name.lower(), []).append(name + b":" + value)
            made, taken = hashlib.sha256(), Counter[bytes]()
            # One From more than is said, or another one could be put in where it is shown. dkimpy does the same.
            for name in (*names, b"from") if b"from" in names else names:
                fields_so_called = self._by_name[relaxed].get(name, ())
                taken[name] += 1
                if taken[name] <= len(fields_so_called):
                    made.update(fields_so_called[-taken[name]])  # the lowest one first
            ((name, value),) = _canonical(relaxed, [(signature[0], dkim.RE_BTAG.sub(rb"\1", signature[1]))])
            made.update(name + b":" + value.rstrip())
            self._header_hashes[key] = made
        return self._header_hashes[key]


def _canonical(relaxed: bool, some: Any) -> Any:  # noqa: ANN401, FBT001 - dkimpy has no types
    how = dkim.CanonicalizationPolicy.from_c_value(b"relaxed" if relaxed else b"simple").header_algorithm
    return how.canonicalize_headers(some)


def _value(value: bytes) -> bytes:
    return _crlf(value) + b"\r\n"


def _relaxed(body: bytes) -> bytes:
    text = _crlf(body).replace(b"\t", b" ")
    while b"  " in text:  # each time half of them are left
        text = text.replace(b"  ", b" ")
    canonical = _without_empty_lines(text.replace(b" \r\n", b"\r\n"))
    return b"" if canonical == b"\r\n" else canonical


def _crlf(text: bytes) -> bytes:
    """Return it with CRLF for every LF; a bare CR stays, as it does for dkimpy."""
    return text if text.count(b"\n") == text.count(b"\r\n") else re.sub(rb"\r?\n", b"\r\n", text)


def _without_empty_lines(body: bytes) -> bytes:
    """Return it with one newline at its end."""
    end = len(body)
    for block in (b"\r\n" * 4096, b"\r\n"):
        while body.endswith(block, 0, end):
            end -= len(block)
    return body[:end] + b"\r\n"


def tags(field: bytes) -> dict[bytes, bytes]:
    """Read the tags of a signature. Raises Unusable: dkimpy is not to see it."""
    if len(field) > LARGEST_SIGNATURE:
        raise Unusable("signature too large")
    if _BLANKS.search(field):
        raise Unusable("too many blanks")
    try:
        found: dict[bytes, bytes] = dkim.parse_tag_value(field)
    except Exception:  # noqa: BLE001 - whatever it does not like
        raise Unusable("syntax") from None
    if found.get(b"h", b"").count(b":") >= MOST_NAMES:
        raise Unusable("too many names in h=")
    return found


def signs_author(signature: dict[bytes, bytes]) -> bool:
    """Return whether `h=` covers From: if not, any author could have been put in. RFC 6376 5.4"""
    return b"from" in (name.strip().lower() for name in signature.get(b"h", b"").split(b":"))


def key_name(signature: dict[bytes, bytes]) -> str:
    """Return where the key of a signature is, as it is asked for; empty: nowhere."""
    domain, selector = (_name(signature.get(tag, b"")) for tag in (b"d", b"s"))
    return f"{selector}._domainkey.{domain}" if domain and selector else ""


def _name(octets: bytes) -> str:
    text = _WHITE.sub(b"", octets).decode("utf-8", "replace")
    return domain_key(text) if len(text) <= 255 else ""


@dataclass(frozen=True, slots=True)
class Keys:
    """What the DNS says of the key of a signature."""

    records: tuple[bytes, ...] = ()
    unknown: str = ""
    """Why the DNS could not say."""


async def fetch(dns: Resolver, name: str) -> Keys:
    """Ask for key records."""
    if not name:
        return Keys()
    answer = await dns.ask(name, "TXT")
    if not answer.status.known and answer.status is not Status.INVALID:
        return Keys(unknown=answer.status.value)
    records = [record.encode("latin-1", "replace") for record in answer.records[:50]]
    # A wildcard may bring other text along. RFC 6376 3.6.1: "p" is what a key has to have.
    likely = [record for record in records if re.search(rb"(?:\A|;)\s*p\s*=", record[:LARGEST_KEY_RECORD])]
    return Keys(tuple(likely[:MOST_KEY_RECORDS]))


async def fetch_all(dns: Resolver, names: list[str]) -> dict[str, Keys]:
    """Ask for the key records of several names, side by side."""
    keys: dict[str, Keys] = {}

    async def one(name: str) -> None:
        keys[name] = await fetch(dns, name)

    async with trio.open_nursery() as nursery:
        for name in dict.fromkeys(names):
            nursery.start_soon(one, name)
    return keys


def checked_key(record: bytes) -> dict[bytes, bytes]:
    """Return the tags of a key record that dkimpy may see. Raises Unusable. RFC 6376 3.6.1"""
    if len(record) > LARGEST_KEY_RECORD:
        raise Unusable("key record too large")
    try:
        found: dict[bytes, bytes] = dkim.parse_tag_value(record)
        revoked = not _WHITE.sub(b"", found[b"p"])
        key, bits, kind, _ = ({}, 0, b"", False) if revoked else dkim.evaluate_pk("", record)
    except Exception:  # noqa: BLE001 - IndexError, TypeError and others for what is no key
        raise Unusable("key syntax") from None
    if revoked:
        raise Unusable("key revoked")
    if kind == b"rsa":
        if bits > MOST_BITS or key["publicExponent"].bit_length() > MOST_EXPONENT_BITS:
            raise Unusable("key too large")
        if bits < LEAST_BITS:
            raise Unusable("key too small")
    return found


def told(checker: Any, message: SignedMessage) -> Any:  # noqa: ANN401 - dkimpy has no types
    """Give a dkimpy object the fields of signatures alone, and hashes in place of what it would hash anew each time."""
    checker.headers = message.headers(_SIGNATURES)

    def with_known_hashes(said: dict[bytes, bytes], names: list[bytes], field: tuple[bytes, bytes], _: object) -> bool:
        if checker.seqtlsrpt:
            raise dkim.ValidationError("key for another service")
        if said[b"a"] == b"rsa-sha1":
            raise dkim.ValidationError("rsa-sha1")  # RFC 8301 3.1
        how = dkim.CanonicalizationPolicy.from_c_value(said.get(b"c"))
        if b"bh" in said:  # a seal of ARC has none
            relaxed = how.body_algorithm.name == b"relaxed"
            length = int(said[b"l"]) if b"l" in said else None
            if base64.b64decode(_WHITE.sub(b"", said[b"bh"])) != message.body_hash(length, relaxed=relaxed):
                raise dkim.ValidationError(BODY_DIFFERS)
        relaxed = how.header_algorithm.name == b"relaxed"
        signed = message.header_hash(names, (field[0], field[1]), relaxed=relaxed)
        signature = base64.b64decode(_WHITE.sub(b"", said[b"b"]))
        if checker.ktag == b"rsa":
            return bool(dkim.crypto.RSASSA_PKCS1_v1_5_verify(signed, signature, checker.pk))
        try:
            checker.pk.verify(signed.digest(), signature)
        except BadSignatureError:
            return False
        return True

    checker.verify_sig_process = with_known_hashes
    return checker
