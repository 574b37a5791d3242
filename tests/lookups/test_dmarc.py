"""DMARC against a zone: what is asked, and what becomes of what is not known. The decisions are in tests/policy."""

from typing import Any

import pytest

from smtproxy.lookups.dmarc import LOOKUP, organisation, remembering
from smtproxy.lookups.recent import Recent
from smtproxy.network.dns.answers import Status
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import Dmarc, HeaderBlock, Signature, Signatures, Spf
from tests.lookups.zones import Records, Session, Zone

ZONE: Records = {
    ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=reject; np=quarantine"],
    ("a.example.com", "A"): ["192.0.2.1"],
}
SIGNED = Known(Signatures((Signature("example.com", "s1", "pass"),)))
NOTHING: dict[str, Fact[Any]] = {"spf": Known(Spf("none", "x.example")), "dkim": Known(Signatures())}


async def look(domains: tuple[str, ...], dns: Zone | None = None, **facts: Fact[Any]) -> Fact[Dmarc]:
    header = Known(HeaderBlock(from_domains=domains))
    return await LOOKUP.find(Session(dns or Zone(ZONE), facts={"header": header, **NOTHING, **facts}))


async def test_pass_and_fail() -> None:
    assert await look(("example.com",), dkim=SIGNED) == Known(
        Dmarc("pass", "example.com", "reject", "example.com", "dkim")
    )
    assert await look(("example.com",)) == Known(Dmarc("fail", "example.com", "reject", "example.com"))


async def test_domains_that_do_not_exist() -> None:
    assert await look(("a.example.com",)) == Known(Dmarc("fail", "a.example.com", "reject", "example.com"))
    assert await look(("b.example.com",)) == Known(Dmarc("fail", "b.example.com", "quarantine", "example.com"))


@pytest.mark.parametrize(
    ("domains", "found"),
    [
        ((), Dmarc("none")),
        (("example.com", "evil.example"), Dmarc("permerror", "example.com")),
        (("[192.0.2.1]",), Dmarc("none", "[192.0.2.1]")),
        (("nobody.example",), Dmarc("none", "nobody.example")),
        (("x" * 64 + ".example",), Dmarc("none", "x" * 64 + ".example")),
    ],
)
async def test_domains_without_policy(domains: tuple[str, ...], found: Dmarc) -> None:
    assert await look(domains, dkim=SIGNED) == Known(found)


async def test_what_is_not_known_matters_only_without_a_pass() -> None:
    unknown: Fact[Any] = Unknown("timeout")
    passed = Known(Dmarc("pass", "example.com", "reject", "example.com", "dkim"))
    assert await look(("example.com",), spf=unknown, dkim=SIGNED) == passed
    assert await look(("example.com",), spf=unknown) == Unknown("timeout")
    assert await look(("example.com",), dkim=Unknown("too large")) == Unknown("too large")
    assert await look(("nobody.example",), dkim=Unknown("too large")) == Known(Dmarc("none", "nobody.example"))
    assert await LOOKUP.find(Session(Zone(ZONE), facts={"header": unknown})) == unknown


@pytest.mark.parametrize("status", [Status.TIMEOUT, Status.SERVFAIL, Status.DOWN, Status.BUDGET])
async def test_dead_name_server_is_a_temporary_error(status: Status) -> None:
    dns = Zone({("_dmarc.example.com", "TXT"): status})
    assert await look(("a.example.com",), dns, dkim=SIGNED) == Known(Dmarc("temperror", "a.example.com"))


async def test_it_is_remembered_for_a_moment_but_no_temporary_error() -> None:
    lookup = remembering(Recent(lambda: 0.0))

    def session(dns: Zone) -> Session:
        return Session(dns, facts={"header": Known(HeaderBlock(from_domains=("example.com",))), **NOTHING})

    dead = Zone({("_dmarc.example.com", "TXT"): Status.TIMEOUT})
    assert await lookup.find(session(dead)) == Known(Dmarc("temperror", "example.com"))
    found = await lookup.find(session(Zone(ZONE)))
    assert found == Known(Dmarc("fail", "example.com", "reject", "example.com"))
    assert await lookup.find(session(dead)) is found


async def test_walks_ask_each_name_once() -> None:
    dns = Zone(ZONE)
    signatures = Known(
        Signatures((Signature("m.b.example.com", "s1", "pass"), Signature("evil.example", "s1", "pass")))
    )
    found = await look(("a.b.example.com",), dns, dkim=signatures)
    assert isinstance(found, Known)
    assert (found.value.result, found.value.aligned) == ("pass", "dkim")
    asked = [name for name, kind in dns.asked if kind == "TXT"]
    assert sorted(asked) == sorted(
        f"_dmarc.{name}" for name in ("a.b.example.com", "m.b.example.com", "b.example.com", "example.com", "com")
    )


async def test_a_long_name_asks_for_eight() -> None:
    dns = Zone({})
    await look(("a." * 100 + "example.com",), dns)
    assert len(dns.asked) == 8


def test_private_suffixes_are_suffixes() -> None:
    assert organisation("evil.github.io") == "evil.github.io"
    assert organisation("github.io") is None
    assert organisation("a.b.example.co.uk") == "example.co.uk"
    assert organisation("com") is None
    assert organisation("a.b.unknown") == "b.unknown"
