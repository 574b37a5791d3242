"""Names that providers give to whoever is connected, and servers that only look like it."""

from ipaddress import ip_address

import pytest

from smtproxy.policy.dynamic_names import sign_of_a_dynamic_name


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("203-0-113-7.isp.test", "address"),
        ("host-203-0-113-7.city.isp.test", "address"),
        ("7.113.0.203.isp.test", "address"),
        ("ip203.0.113.7.isp.test", "address"),
        ("203000113007.isp.test", "address"),
        ("x203-000-113-007.isp.test", "address"),
        ("cb007107.isp.test", "address"),
        ("dsl-1.isp.test", "dsl"),
        ("pool12.city.isp.test", "pool"),
        ("a.dyn.isp.test", "dyn"),
    ],
)
def test_dynamic(name: str, sign: str) -> None:
    assert sign_of_a_dynamic_name(name, ip_address("203.0.113.7")) == sign


@pytest.mark.parametrize(
    "name",
    [
        "mx.a.test",
        "mail-203-0-113-7.outbound.a.test",
        "smtp7.customer.isp.test",
        "server7.dyn.test",
        "mx1.home.dsl.test",
        "dsl.test",
        "203-0-113-8.isp.test",
        "0-113-7.isp.test",
        "poolside.a.b.test",
        "test",
        "",
    ],
)
def test_not_dynamic(name: str) -> None:
    assert sign_of_a_dynamic_name(name, ip_address("203.0.113.7")) == ""


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("20010db8000000000000000000000001.isp.test", "address"),
        ("2001-0db8-0000-0000-0000-0000-0000-0001.isp.test", "address"),
        ("2001-db8-1.isp.test", "address"),
        ("2001-db8-2.isp.test", ""),
        ("mx.isp.test", ""),
    ],
)
def test_ipv6(name: str, sign: str) -> None:
    assert sign_of_a_dynamic_name(name, ip_address("2001:db8::1")) == sign
