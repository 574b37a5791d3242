"""Who may be called missing where."""

import pytest

from smtproxy.lookups.recipients.accepted_domains import accepted, authoritative, configuration_server, differences
from smtproxy.lookups.recipients.exchange import Item


def domain(name: str, flags: str | None = "0") -> Item:
    more = {} if flags is None else {"msexchaccepteddomainflags": [flags]}
    return Item("cn=x", {"msexchaccepteddomainname": [name], **more})


def test_kinds() -> None:
    found = accepted([
        domain("Example.ORG"),
        domain("relay.example", "1"),
        domain("internal.example", "2"),
        domain("other-bits.example", "4"),  # the low two bits say the kind
        domain("silent.example", None),
        domain("*.sub.example"),
        domain("bücher.example"),
        domain("twice.example"),
        domain("twice.example", "1"),
        Item("cn=nameless", {}),
    ])  # fmt: skip
    assert found == {
        "example.org": True,
        "relay.example": False,
        "internal.example": False,
        "other-bits.example": True,
        "silent.example": False,
        "*.sub.example": True,
        "xn--bcher-kva.example": True,
        "twice.example": False,
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("example.org", True),
        ("www.example.org", False),
        ("exact.www.example.org", True),
        ("a.www.example.org", False),
        ("example.net", None),
    ],
)
def test_the_most_exact_name_decides(name: str, kind: bool | None) -> None:
    domains = {"example.org": True, "*.example.org": False, "exact.www.example.org": True}
    assert authoritative(domains, name) is kind
    assert authoritative({**domains, "*": False}, "example.net") is False


def test_differences() -> None:
    domains = {"example.org": True, "more.example": True, "*.sub.example": True, "*.none.example": True, "*": False}
    assert differences(domains, {"example.org", "a.sub.example"}, {"example.org"}) == (
        ["*.none.example", "more.example"],
        [],
    )
    del domains["*"]
    ours = {"example.org", "lost.example", "elsewhere.example"}
    assert differences(domains, ours, {"example.org", "lost.example"})[1] == ["lost.example"]


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("ldap://dc1.example.org:3268", "ldap://dc1.example.org:389"),
        ("ldaps://[::1]:3269", "ldaps://[::1]:636"),
        ("ldaps://dc1.example.org", "ldaps://dc1.example.org"),
        ("ldap://dc1.example.org:13268", "ldap://dc1.example.org:13268"),
    ],
)
def test_the_catalog_has_no_configuration(url: str, other: str) -> None:
    assert configuration_server(url) == other
