"""A message as dkimpy is to see it. What it makes of it is in test_dkim.py and test_arc.py."""

import hashlib

import dkim
import pytest

from smtproxy.lookups.signed_message import (
    LARGEST_HEADER,
    LARGEST_SIGNATURE,
    MOST_FIELDS,
    MOST_KEY_RECORDS,
    MOST_NAMES,
    Keys,
    SignedMessage,
    Unusable,
    checked_key,
    fetch,
    fetch_all,
    key_name,
    signs_author,
    tags,
)
from smtproxy.network.dns.answers import Status
from tests.lookups.signing import ed25519_key, rsa_key
from tests.lookups.zones import Zone


def test_headers_are_those_of_dkimpy() -> None:
    message = b"From: a\n\tb\r\nSubject : x \r\nX:\r\n\r\nbody"
    mine = [tuple(field) for field in SignedMessage(message).headers()]
    assert mine == [(b"From", b" a\r\n\tb\r\n"), (b"Subject", b" x \r\n"), (b"X", b"\r\n")]
    whole = b"From: a\r\n\tb\r\nSubject: x \r\nX:\r\n\r\nbody"
    assert SignedMessage(whole).headers() == dkim.rfc822_parse(whole)[0]


@pytest.mark.parametrize(
    "body", [b"", b"\r\n", b"x", b"x\n\n", b" \t\r\n", b"a \t b\t\r\n \r\n\r\n", b"\r\r\n", b"a\r"]
)
def test_bodies_are_canonicalised_as_dkimpy_does(body: bytes) -> None:
    message = SignedMessage(b"From: a\r\n\r\n" + body)
    parsed = dkim.rfc822_parse(b"From: a\r\n\r\n" + body)[1]
    for relaxed, name in ((True, b"relaxed"), (False, b"simple")):
        canonical = dkim.CanonicalizationPolicy.from_c_value(name + b"/" + name).canonicalize_body(parsed)
        assert message.body_hash(None, relaxed=relaxed) == hashlib.sha256(canonical).digest()
        assert message.body_hash(1, relaxed=relaxed) == hashlib.sha256(canonical[:1]).digest()


@pytest.mark.parametrize("name", [b"relaxed", b"simple"])
@pytest.mark.parametrize(
    "names",
    [
        [b"from"],
        [b"from", b"from", b"from", b"from"],
        [b"received", b"from", b"received", b"received"],
        [b"none", b"received", b"", b"from"],
        [b"x", b"dkim-signature", b"from"],
        [b"x", b"received"],
        [],
    ],
)
def test_headers_are_hashed_as_dkimpy_does(name: bytes, names: list[bytes]) -> None:
    signature = (b"DKIM-Signature", b" v=1; h=a;\r\n b = AB\r\n  CD= ;\tbh=ab;\r\n\tb2=x \r\n")
    block = (
        b"Received: 1 \t  a\r\nFrom: a\r\nFROM: b\r\n\t \r\n  c\r\nReceived:2\r\nX:\r\nX: \ta:b \r\nfrom: c\r\n"
        b"received: 3\r\n" + signature[0] + b":" + signature[1]
    )
    message = SignedMessage(block + b"\r\n")
    how = dkim.CanonicalizationPolicy.from_c_value(name + b"/simple")
    covered = [*names, b"from"] if b"from" in names else names  # as dkimpy's caller of this has it
    made = hashlib.sha256()
    dkim.hash_headers(made, how, how.canonicalize_headers(dkim.rfc822_parse(block)[0]), covered, signature, {})
    relaxed = name == b"relaxed"
    for _ in range(2):
        assert message.header_hash(names, signature, relaxed=relaxed).digest() == made.digest()


def test_signatures_by_name() -> None:
    message = SignedMessage(b"DKIM-Signature: a\r\nX: b\r\ndkim-signature: c\r\n\r\n")
    assert message.signatures(b"dkim-signature") == [b" a\r\n", b" c\r\n"]


def test_bounds() -> None:
    SignedMessage(b"X: " + b"y" * (LARGEST_HEADER - 5) + b"\r\n\r\n")
    with pytest.raises(Unusable, match="header too large"):
        SignedMessage(b"X: " + b"y" * LARGEST_HEADER + b"\r\n\r\n")
    SignedMessage(b"X:\r\n" * MOST_FIELDS + b"\r\n")
    with pytest.raises(Unusable, match="too many header fields"):
        SignedMessage(b"X:\r\n" * (MOST_FIELDS + 1) + b"\r\n")
    tags(b"a=" + b"b" * (LARGEST_SIGNATURE - 2))
    with pytest.raises(Unusable, match="signature too large"):
        tags(b"a=" + b"b" * LARGEST_SIGNATURE)
    tags(b"h=" + b":".join([b"a"] * MOST_NAMES))
    with pytest.raises(Unusable, match="too many names"):
        tags(b"h=" + b":".join([b"a"] * (MOST_NAMES + 1)))
    with pytest.raises(Unusable, match="blanks"):
        tags(b"h=" + b"\r\n " * 100)
    with pytest.raises(Unusable, match="syntax"):
        tags(b"a; b")


@pytest.mark.parametrize(
    ("names", "signs"), [(b"from", True), (b"To : FROM :x", True), (b"to:x-from", False), (b"", False)]
)
def test_signs_author(names: bytes, signs: bool) -> None:
    assert signs_author({b"h": names}) is signs
    assert not signs_author({})


@pytest.mark.parametrize(
    ("signature", "name"),
    [
        ({b"d": b"Example.COM", b"s": b"S1"}, "s1._domainkey.example.com"),
        ({b"d": b" ex\r\n ample.com", b"s": b"s1"}, "s1._domainkey.example.com"),
        ({b"d": "b\u00fccher.example".encode(), b"s": b"s1"}, "s1._domainkey.xn--bcher-kva.example"),
        ({b"d": b"x" * 300, b"s": b"s1"}, ""),
        ({b"d": b"", b"s": b"s1"}, ""),
        ({}, ""),
    ],
)
def test_key_name(signature: dict[bytes, bytes], name: str) -> None:
    assert key_name(signature) == name


async def test_keys_are_what_looks_like_keys() -> None:
    records = ["v=spf1 -all", "p=a", "v=DKIM1; p=b", "k=rsa;p =c", "p=d", "xp=e"]
    dns = Zone({("a.example", "TXT"): records, ("b.example", "TXT"): Status.SERVFAIL})
    assert await fetch(dns, "a.example") == Keys((b"p=a", b"v=DKIM1; p=b", b"k=rsa;p =c"))
    assert len((await fetch(dns, "a.example")).records) == MOST_KEY_RECORDS
    assert await fetch_all(dns, ["b.example", "c.example", "b.example", "", "x" * 64 + ".example"]) == {
        "b.example": Keys(unknown="servfail"),
        "c.example": Keys(),
        "": Keys(),
        "x" * 64 + ".example": Keys(),
    }
    assert dns.asked.count(("b.example", "TXT")) == 1


def test_checked_keys() -> None:
    assert checked_key(rsa_key()[1].encode())[b"k"] == b"rsa"
    assert checked_key(ed25519_key()[1].encode())[b"k"] == b"ed25519"
    for record in (b"", b"p=", b"v=DKIM1", b"p=AAAA", b"k=x; p=AAAA", b"k=ed25519; p=AAAA", b"p=a; p=b", b"\xff"):
        with pytest.raises(Unusable):
            checked_key(record)
