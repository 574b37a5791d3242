"""ARC: chains made by dkimpy, broken ones, and those that want to be a burden."""

import re
import time

import pytest

from smtproxy.lookups.arc import LOOKUP, MOST_SETS
from smtproxy.lookups.signed_message import LARGEST_MESSAGE
from smtproxy.network.dns.answers import Status
from smtproxy.network.inquiry import NotAtHand
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import Arc
from tests.lookups.signing import MESSAGE, ed25519_key, keys, sealed
from tests.lookups.zones import Records, Session, Zone

ALL = keys("list.example", "next.example")
RESULTS = "spf=pass smtp.mailfrom=example.com; dmarc=pass (p=none; dmarc=fail) header.from=example.com; arc=none"
ONE = sealed(MESSAGE, "list.example", RESULTS)
TWO = sealed(ONE, "next.example", "dkim=fail; dmarc=fail; arc=pass")


async def look(message: bytes | None, records: Records | None = None) -> Fact[Arc]:
    return await LOOKUP.find(Session(Zone(ALL if records is None else records), body=message))


async def test_no_chain() -> None:
    dns = Zone({})
    assert await LOOKUP.find(Session(dns, body=MESSAGE)) == Known(Arc("none"))
    assert dns.asked == []


async def test_chains_that_pass() -> None:
    assert await look(ONE) == Known(Arc("pass", ("list.example",), "pass"))
    assert await look(TWO) == Known(Arc("pass", ("next.example", "list.example"), "fail"))


@pytest.mark.parametrize(
    ("message", "records"),
    [
        (ONE.replace(b"Hello", b"Hullo"), ALL),
        (ONE.replace(b"Subject: hello", b"Subject: hullo"), ALL),
        (ONE.replace(b"cv=none", b"cv=pass"), ALL),
        (ONE.replace(b"dmarc=pass", b"dmarc=none", 1), ALL),
        (TWO.replace(b"cv=pass", b"cv=none"), ALL),
        (ONE, {}),
        (ONE, keys("list.example", record="p=")),
        (ONE, keys("list.example", record=ed25519_key()[1])),
        (TWO, keys("next.example")),
        (ONE + b"", keys("list.example", record="p=" + "A" * 5000)),
        (b"ARC-Seal: i=1; nonsense\r\n" + MESSAGE, ALL),
        (b"ARC-Seal: \xff\r\n" + MESSAGE, ALL),
        (b"ARC-Authentication-Results: i=1; x; dmarc=pass\r\n" + MESSAGE, ALL),
        (b"ARC-Seal: i=99999999999999999999; a=b\r\n" + ONE, ALL),
        (b"ARC-Seal: i=" + b"9" * 5000 + b"; a=b\r\n" + ONE, ALL),
        (re.sub(rb"(ARC-Seal: [^\r]*\r\n(?: [^\r]*\r\n)*)", rb"\1\1", ONE, count=1), ALL),
    ],
)
async def test_chains_that_fail(message: bytes, records: Records) -> None:
    assert message != ONE or records != ALL
    found = await look(message, records)
    assert isinstance(found, Known)
    assert found.value.result in ("fail", "none")
    assert found.value.sealers == ()
    assert found.value.dmarc == ""


async def test_a_chain_that_does_not_cover_from() -> None:
    assert b"h=from : to" in ONE
    assert await look(ONE.replace(b"h=from : to", b"h=to")) == Known(Arc("fail"))


async def test_a_dns_that_cannot_say() -> None:
    records = {("s1._domainkey.list.example", "TXT"): Status.TIMEOUT}
    assert await look(ONE, records) == Unknown("timeout")


async def test_quick_way_and_large_messages() -> None:
    with pytest.raises(NotAtHand):
        await LOOKUP.find(Session(Zone({}), body=ONE, quick=True))
    assert await look(None) == Unknown("too large")
    assert await look(bytes(LARGEST_MESSAGE + 1)) == Unknown("too large")
    assert await look(b"X: " + b"y" * 2_000_000 + b"\r\n" + ONE) == Known(Arc("fail"))


async def test_long_chains_fail_and_take_no_long_time() -> None:
    begun = time.process_time()
    message = ONE
    for number in range(2, MOST_SETS + 2):
        message = ONE.removesuffix(MESSAGE).replace(b"i=1", b"i=%d" % number) + message
    assert await look(message) == Known(Arc("fail"))
    many = b"".join(line.replace(b"i=1", b"i=%d" % n) for n in range(MOST_SETS) for line in [ONE.removesuffix(MESSAGE)])
    assert await look(many + MESSAGE + b"x" * 5_000_000) == Known(Arc("fail"))
    assert time.process_time() - begun < 3
