"""Questions and plain answers of the DNS, as octets. RFC 1035 4

Plain is what block lists and most hosts answer: no such name, no such data, addresses. That is written and read here by
hand, since one question through dnspython's resolver costs more CPU than a relayed message. Whatever is not plain is
dnspython's. Must never believe a packet that does not answer the very question, octet by octet.
"""

import struct
from collections.abc import Sequence
from enum import Enum

import dns.exception
import dns.message
import dns.rdata
import dns.rdatatype

from smtproxy.network.dns.answers import Answer, Status
from smtproxy.wire.members import hashed_by_identity

LARGEST_UDP = 1232
"""Octets that we take by UDP, where we say so (RFC 6891 6.2.3): it passes networks unfragmented (DNS flag day 2020)."""
LARGEST_ANSWER = 16384
"""Octets of an answer by TCP. The largest TXT sets of honest domains have some 6,000; 64 KiB of addresses would keep
the parser for a tenth of a second."""
_LONGEST_NAME = 255
"""Octets of a name on the wire. RFC 1035 2.3.4"""

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")
_SHORT = struct.Struct("!I")
_RECURSION_DESIRED = 0x0100
_IS_ANSWER, _OPCODE, _TRUNCATED, _CODE = 0x8000, 0x7800, 0x0200, 0x000F
_NO_ERROR, _NAME_ERROR = 0, 3
_A, _NS, _SOA, _IN = 1, 2, 6, 1
_QUESTION_ITSELF = 0xC00C
"""A pointer to the name in the question: how servers write the owner of an answer. RFC 1035 4.1.4"""
_LENGTHS = [bytes((number,)) for number in range(64)]
_KINDS = {
    kind: struct.pack("!2H", dns.rdatatype.from_text(kind), _IN) for kind in ("A", "AAAA", "MX", "PTR", "TXT", "NS")
}
_EDNS = b"\0" + struct.pack("!HHIH", 41, LARGEST_UDP, 0, 0)


@hashed_by_identity
class Mark(Enum):
    """What a packet is that is no plain answer."""

    FOREIGN = "foreign"
    """It answers another question, or none: somebody guesses."""
    TRUNCATED = "truncated"
    """The whole answer is to be had by TCP. RFC 2181 9"""
    ODD = "odd"
    """`parsed` reads it."""


def question(name: str, kind: str) -> bytes | None:
    """Return a question without its first two octets, the id; None: the name cannot be asked for.

    Names are text without a final dot; "." is the root. Only the type A goes without EDNS: its answers are short, and
    one with EDNS is not plain.
    """
    try:
        labels = name.encode("ascii").split(b".") if name != "." else []
        octets = b"".join([_LENGTHS[len(label)] + label for label in labels])
    except (UnicodeEncodeError, IndexError):
        return None
    if b"" in labels or len(octets) >= _LONGEST_NAME or not name.isprintable():
        return None
    edns = kind != "A"
    header = _HEADER.pack(0, _RECURSION_DESIRED, 1, 0, 0, edns)[2:]
    return b"".join((header, octets, b"\0", _KINDS.get(kind) or _kind(kind), _EDNS if edns else b""))


def _kind(kind: str) -> bytes:
    return struct.pack("!2H", dns.rdatatype.from_text(kind), _IN)


def read(asked: bytes, packet: bytes) -> Answer | Mark:
    """Read a packet that may answer what was `asked` (with its id)."""
    if len(packet) < _HEADER.size or packet[:2] != asked[:2]:
        return Mark.FOREIGN
    _, flags, questions, answers, authorities, more = _HEADER.unpack_from(packet)
    with_edns = asked[11]
    end = len(asked) - len(_EDNS) if with_edns else len(asked)
    if flags & (_IS_ANSWER | _OPCODE) != _IS_ANSWER or questions != 1 or packet[12:end] != asked[12:end]:
        return Mark.FOREIGN
    if flags & _TRUNCATED:
        return Mark.TRUNCATED
    code = flags & _CODE
    if code not in (_NO_ERROR, _NAME_ERROR):
        return Answer(Status.SERVFAIL)
    if with_edns or more:
        return Mark.ODD
    if answers:
        return (
            _addresses(packet, end, answers) if code == _NO_ERROR and asked[end - 4 : end] == _KINDS["A"] else Mark.ODD
        )
    return _negative(packet, end, authorities, Status.NO_DATA if code == _NO_ERROR else Status.NO_NAME)


def _addresses(packet: bytes, at: int, count: int) -> Answer | Mark:
    """Read addresses of the very name that was asked for."""
    least, found = 0xFFFFFFFF, []
    try:
        for _ in range(count):
            (owner,) = struct.unpack_from("!H", packet, at)
            kind, group, ttl, length = _RECORD.unpack_from(packet, at + 2)
            if owner != _QUESTION_ITSELF or kind != _A or group != _IN or length != 4:
                return Mark.ODD
            one, two, three, four = packet[at + 12 : at + 16]
            found.append(f"{one}.{two}.{three}.{four}")
            least = min(least, ttl)
            at += 16
    except (struct.error, ValueError):
        return Mark.ODD
    return Answer(Status.FOUND, tuple(found), least)


def _negative(packet: bytes, at: int, count: int, status: Status) -> Answer | Mark:
    """Read how long a "no" holds: as its only authority, the SOA, says. RFC 2308 5; without one it is not kept."""
    if count == 0:
        return Answer(status)
    if count > 1:
        return Mark.ODD
    try:
        while packet[at] and packet[at] < 0xC0:
            at += packet[at] + 1
        at += 2 if packet[at] else 1
        kind, group, ttl, length = _RECORD.unpack_from(packet, at)
        end = at + _RECORD.size + length
        if kind != _SOA or group != _IN or end > len(packet):
            return Mark.ODD
        (minimum,) = _SHORT.unpack_from(packet, end - 4)
    except (struct.error, IndexError):
        return Mark.ODD
    return Answer(status, (), min(ttl, minimum))


def parsed(packet: bytes) -> Answer:
    """Read by dnspython what is not plain: other types, aliases, EDNS, and whatever else there is. RFC 2308 2"""
    try:
        message = dns.message.from_wire(packet, ignore_trailing=True)
        if not isinstance(message, dns.message.QueryMessage):
            return Answer(Status.SERVFAIL)
        code = message.rcode()
        if code not in (_NO_ERROR, _NAME_ERROR):
            return Answer(Status.SERVFAIL)
        chain = message.resolve_chaining()
    except (dns.exception.DNSException, ValueError, struct.error):
        return Answer(Status.SERVFAIL)
    if chain.answer is not None:
        return Answer(Status.FOUND, tuple(map(_shown, chain.answer)), chain.minimum_ttl)
    authorities = {one.rdtype for one in message.authority}
    if code == _NO_ERROR and _NS in authorities and _SOA not in authorities:
        return Answer(Status.SERVFAIL)  # a referral: this server does not know, and will not ask. RFC 2308 2.2
    # A negative answer without SOA is not kept; dnspython has a TTL of its own for it.
    ttl = chain.minimum_ttl if _SOA in authorities else 0
    return Answer(Status.NO_DATA if code == _NO_ERROR else Status.NO_NAME, (), ttl)


def _shown(record: dns.rdata.Rdata) -> str:
    """Write a record as `Answer` has it."""
    strings: Sequence[bytes] | None = getattr(record, "strings", None)
    if strings is not None:
        return b"".join(strings).decode("latin-1")
    target = getattr(record, "target", None) or getattr(record, "exchange", None)
    if target is None:
        return str(record.to_text())
    name = target.to_text(omit_final_dot=True).lower() or "."
    preference = getattr(record, "preference", None)
    return name if preference is None else f"{preference} {name}"
