"""DKIM: signatures made by dkimpy, what dkimpy itself would let pass, and messages that want to be a burden."""

import base64
import hashlib
import time

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import rsa

from smtproxy.lookups.dkim import LOOKUP, MOST_SIGNATURES
from smtproxy.lookups.signed_message import LARGEST_HEADER, LARGEST_MESSAGE, MOST_KEY_RECORDS, SignedMessage
from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.inquiry import NotAtHand
from smtproxy.policy.evidence import Known, Unknown
from smtproxy.policy.facts import Signature, Signatures
from tests.lookups.signing import MESSAGE, ed25519_key, keys, rsa_key, signed
from tests.lookups.zones import Records, Session, Zone

RIGHT = Signature("example.com", "s1", "pass", algorithm="rsa-sha256")


async def look(message: bytes, records: Records | None = None) -> Signatures:
    dns = Zone(keys("example.com") if records is None else records)
    found = await LOOKUP.find(Session(dns, body=message, now=time.time()))  # noqa: TID251 - dkimpy signs by it
    assert isinstance(found, Known)
    return found.value


async def one(message: bytes, records: Records | None = None) -> Signature:
    found = await look(message, records)
    (signature,) = found.found
    return signature


@pytest.mark.parametrize("header", [b"relaxed", b"simple"])
@pytest.mark.parametrize("body", [b"relaxed", b"simple"])
async def test_right_signatures(header: bytes, body: bytes) -> None:
    assert await one(signed(canonicalize=(header, body))) == RIGHT


async def test_ed25519() -> None:
    found = await one(signed(ed25519=True), keys("example.com", record=ed25519_key()[1]))
    assert (found.result, found.algorithm) == ("pass", "ed25519-sha256")


@pytest.mark.parametrize(
    "body", [b"", b"\r\n", b"\r\n\r\n\r\n", b"x", b" \t\r\n", b"a \t b\t\r\n \r\n\r\n", b"\rx\r\n"]
)
@pytest.mark.parametrize("canonical", [b"relaxed", b"simple"])
async def test_bodies_are_canonicalised_as_dkimpy_does(body: bytes, canonical: bytes) -> None:
    message = MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + body
    assert (await one(signed(message, canonicalize=(b"relaxed", canonical)))).result == "pass"


async def test_what_was_changed_on_the_way() -> None:
    message = signed()
    assert await one(message.replace(b"Hello  Ann ", b"Hello Ann  ")) == RIGHT
    assert await one(message.replace(b"Hello", b"Hullo")) == Signature(
        "example.com", "s1", "fail", "body hash differs", algorithm="rsa-sha256"
    )
    assert (await one(message.replace(b"Subject: hello", b"Subject: hullo"))).reason == "signature differs"
    assert (await one(message.replace(b"From: Joe", b"From: x@evil.example\r\nFrom: Joe"))).result == "fail"


async def test_without_signatures() -> None:
    dns = Zone({})
    assert await LOOKUP.find(Session(dns, body=MESSAGE)) == Known(Signatures())
    assert dns.asked == []


async def test_a_signature_that_does_not_cover_from() -> None:
    """The library says True to it, whoever From is."""
    message = signed().replace(b"h=from : to", b"h=to", 1)
    assert (await one(message)) == Signature(
        "example.com", "s1", "permerror", "From is not signed", algorithm="rsa-sha256"
    )


async def test_partial_and_testing() -> None:
    found = await one(
        signed(length=True) + b"more\r\n", keys("example.com", record="t=y:x; " + rsa_key()[1].partition("; ")[2])
    )
    assert (found.result, found.partial, found.testing) == ("pass", True, True)


@pytest.mark.parametrize(("off", "result"), [(-1, "fail"), (0, "fail"), (60, "permerror")])
async def test_expired_is_expired(off: int, result: str) -> None:
    """The library gives ten hours more. The signature is broken by the tag, which is looked at first."""
    now = int(time.time())  # noqa: TID251 - dkimpy signs by it
    message = signed().replace(b"; t=", b"; x=%d; t=" % (now + off), 1)
    found = await LOOKUP.find(Session(Zone(keys("example.com")), body=message, now=now))
    assert isinstance(found, Known)
    if result == "fail":
        assert (found.value.found[0].result, found.value.found[0].reason) == ("fail", "expired")
    else:
        assert found.value.found[0].reason == "signature differs"


@pytest.mark.parametrize(
    ("records", "result", "reason"),
    [
        ({}, "permerror", "no key"),
        ({("s1._domainkey.example.com", "TXT"): ["v=spf1 -all"]}, "permerror", "no key"),
        ({("s1._domainkey.example.com", "TXT"): Status.TIMEOUT}, "temperror", "timeout"),
        ({("s1._domainkey.example.com", "TXT"): Status.SERVFAIL}, "temperror", "servfail"),
        ({("s1._domainkey.example.com", "TXT"): Status.DOWN}, "temperror", "dns_down"),
        (keys("example.com", record="v=DKIM1; p="), "permerror", "key revoked"),
        (keys("example.com", record="v=DKIM1; p=AAAA"), "permerror", "key syntax"),
        (keys("example.com", record="v=DKIM1; p=\xff"), "permerror", "key syntax"),
        (keys("example.com", record="v=DKIM2; p=AAAA"), "permerror", "key syntax"),
        (keys("example.com", record="p=" + "A" * 5000), "permerror", "key record too large"),
        (keys("example.com", record=ed25519_key()[1]), "permerror", "key of another kind"),
        (keys("example.com", record="h=sha1; " + rsa_key()[1].partition("; ")[2]), "permerror", "key for other hashes"),
        (
            keys("example.com", record="s=tlsrpt; " + rsa_key()[1].partition("; ")[2]),
            "permerror",
            "key for another service",
        ),
    ],
)
async def test_keys(records: Records, result: str, reason: str) -> None:
    found = await one(signed(), records)
    assert (found.result, found.reason) == (result, reason)


async def test_a_key_for_its_own_domain_only() -> None:
    strict = keys("example.com", record="t=s; " + rsa_key()[1].partition("; ")[2])
    assert (await one(signed(), strict)).result == "pass"
    found = await one(signed(identity="@sub.example.com"), strict)
    assert (found.result, found.reason) == ("permerror", "key is for its own domain only")


async def test_each_of_several_keys_is_tried() -> None:
    right, wrong = rsa_key()[1], ed25519_key()[1]
    for records in ([wrong, right], [right, wrong], ["v=spf1 -all", "p=", right]):
        assert (await one(signed(), {("s1._domainkey.example.com", "TXT"): records})).result == "pass"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"v=1", b"v=2"),
        (b"a=rsa-sha256", b"a=rsa-sha1"),
        (b"a=rsa-sha256", b"a=x"),
        (b"c=relaxed/relaxed", b"c=x/y"),
        (b"d=example.com", b"d="),
        (b"d=example.com", b"d=" + b"x" * 300),
        (b"s=s1", b"s=\xff"),
        (b"i=@example.com", b"i=@evil.example"),
        (b"i=@example.com", b"i=example.com"),
        (b"bh=", b"bh=!"),
        (b"b=", b"b=%"),
        (b" h=from", b" h=from; h=to"),
        (b"q=dns/txt", b"q=x"),
        (b"; t=", b"; l=x; t="),
        (b"; t=", b"; l=" + b"9" * 5000 + b"; t="),
        (b"; t=", b"; x=" + b"9" * 5000 + b"; t="),
        (b"v=1; a", b"a"),
        (b"v=1;", b"nonsense;"),
        (b"v=1;", b""),
    ],
)
async def test_nonsense_is_a_permanent_error(old: bytes, new: bytes) -> None:
    message = signed()
    assert old in message
    found = await one(message.replace(old, new, 1))
    assert found.result == "permerror"
    assert found.reason.isascii()
    assert len(found.domain) <= 255


async def test_quick_way_and_large_messages() -> None:
    with pytest.raises(NotAtHand):
        await LOOKUP.find(Session(Zone({}), body=MESSAGE, quick=True))
    assert await LOOKUP.find(Session(Zone({}), body=None)) == Unknown("too large")
    assert await LOOKUP.find(Session(Zone({}), body=bytes(LARGEST_MESSAGE + 1))) == Unknown("too large")


def _unreadable(why: str) -> Known[Signatures]:
    """Whoever pads his header must not be spared DMARC by an unknown fact."""
    return Known(Signatures((Signature("", "", "permerror", why),)))


class TestBurdens:
    """CPU, not time."""

    async def test_a_hundred_signatures(self) -> None:
        message = signed()
        signature = message.removesuffix(MESSAGE)
        begun = time.process_time()
        found = await look(signature * 100 + MESSAGE)
        assert (found.found, found.more) == ((RIGHT,) * MOST_SIGNATURES, 90)
        assert time.process_time() - begun < 2

    @pytest.mark.parametrize(("bits", "result"), [(4096, "fail"), (8192, "permerror"), (512, "permerror")])
    async def test_huge_keys(self, bits: int, result: str) -> None:
        key = rsa.RSAPublicNumbers(65537, (1 << bits) - 189)
        der = asn1(key.n, key.e)
        found = await one(signed(), keys("example.com", record="p=" + base64.b64encode(der).decode()))
        assert found.result == result

    async def test_huge_exponent(self) -> None:
        der = asn1((1 << 4096) - 189, (1 << 4095) - 1)
        found = await one(signed(), keys("example.com", record="p=" + base64.b64encode(der).decode()))
        assert found.reason == "key too large"

    async def test_large_signatures(self) -> None:
        for many in (b" " * 8000, b"\r\n " * 2000, b"A" * 8000, b" A" * 4000):
            begun = time.process_time()
            found = await one(signed().replace(b"b=", b"b=" + many, 1))
            assert found.result == "permerror"
            assert time.process_time() - begun < 1

    async def test_many_names_and_fields(self) -> None:
        begun = time.process_time()
        assert (await one(signed().replace(b"h=from", b"h=from" + b":a" * 3000, 1))).reason == "too many names in h="
        many = signed().replace(b"\r\nTo:", b"\r\n" + b"X: y\r\n" * 3000 + b"To:", 1)
        assert await LOOKUP.find(Session(Zone({}), body=many)) == _unreadable("too many header fields")
        large = b"X: " + b"y" * 2_000_000 + b"\r\n" + signed()
        assert await LOOKUP.find(Session(Zone({}), body=large)) == _unreadable("header too large")
        assert time.process_time() - begun < 2

    @pytest.mark.parametrize("canonical", [b"relaxed", b"simple"])
    @pytest.mark.parametrize(
        ("pad", "names"),
        [
            ([b"X%d: %s" % (number, b"a b " * 30) for number in range(1700)], [b"x%d" % n for n in range(250)]),
            ([b"X: " + b"\r\n ".join([b"a " * 30] * 3500)], [b"x"]),
        ],
    )
    async def test_large_headers_many_signatures_and_keys(
        self, pad: list[bytes], names: list[bytes], canonical: bytes
    ) -> None:
        """Ten signatures of three keys each held one of two threads for 1.2 s."""
        body_hash = base64.b64encode(hashlib.sha256(b"x\r\n").digest())
        signatures = [
            b"DKIM-Signature: v=1; a=rsa-sha256; c=%s; d=example.com; s=s%d; h=from:%s; bh=%s; b=%s\r\n"
            % (canonical, number, b":".join(names), body_hash, b"A" * 684)
            for number in range(MOST_SIGNATURES)
        ]
        key = rsa_key(4096)[1]
        records: Records = {
            (f"s{number}._domainkey.example.com", "TXT"): [f"{key}; n={other}" for other in range(MOST_KEY_RECORDS)]
            for number in range(MOST_SIGNATURES)
        }
        message = b"".join([*signatures, b"From: joe@example.com\r\n", *(one + b"\r\n" for one in pad), b"\r\nx\r\n"])
        assert len(message) > 0.85 * LARGEST_HEADER
        found = await look(message, records)  # what is loaded once, and the keys
        begun = time.process_time()
        found = await look(message, records)
        assert [one.reason for one in found.found] == ["signature differs"] * MOST_SIGNATURES
        spent, begun = time.process_time() - begun, time.process_time()
        made = SignedMessage(message)
        made.header_hash(names, (b"DKIM-Signature", b" v=1"), relaxed=canonical == b"relaxed")
        once = time.process_time() - begun
        # Hashed anew for each of three keys it would be 30. On a slow machine both are slow, and not always equally so.
        assert spent < 2 * MOST_SIGNATURES * once + 0.2

    @pytest.mark.parametrize("piece", [b" ", b"\r\n", b"x\r\n", b"\t\r\n", b"a "])
    async def test_large_bodies(self, piece: bytes) -> None:
        """A line of blanks takes dkimpy quadratic time, a body of newlines gigabytes."""
        begun = time.process_time()
        found = await one(signed() + piece * (10_000_000 // len(piece)) + b"\r\n")
        assert found.result in ("pass", "fail")
        assert time.process_time() - begun < 5

    async def test_names_are_asked_once_and_side_by_side(self, autojump_clock: trio.testing.MockClock) -> None:
        class Slow(Zone):
            async def ask(self, name: str, kind: str) -> Answer:
                await trio.sleep(1)
                return await super().ask(name, kind)

        dns = Slow({})
        message = signed() + b""
        other = signed(domain="example.net").removesuffix(MESSAGE)
        found = await LOOKUP.find(Session(dns, body=other + message.removesuffix(MESSAGE) + message))
        assert isinstance(found, Known)
        assert [one.reason for one in found.value.found] == ["no key"] * 3
        assert len(dns.asked) == 2
        assert trio.current_time() < 2


def asn1(modulus: int, exponent: int) -> bytes:
    """Return an RSAPublicKey that no library would make. RFC 8017 A.1.1"""

    def item(tag: int, content: bytes) -> bytes:
        size = len(content)
        length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
        return bytes([tag]) + length + content

    numbers = b"".join(item(2, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in (modulus, exponent))
    return item(0x30, numbers)
