"""The table [dns]. Mistakes are in tests/app/configurations/dns_wrong."""

import pytest

from smtproxy.app.config.dns import Dns
from smtproxy.network.dns.resolver import DnsSettings


def test_defaults_are_those_of_the_resolver() -> None:
    table, settings = dict(Dns()), DnsSettings()
    assert {name: value for name, value in table.items() if name != "servers"} == {
        name: getattr(settings, name) for name in table if name != "servers"
    }


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("127.0.0.1", "127.0.0.1:53"),
        ("::1", "[::1]:53"),
        ("FD00::0:1", "[fd00::1]:53"),
        ("10.0.0.2:5353", "10.0.0.2:5353"),
        ("[::1]:5353", "[::1]:5353"),
    ],
)
def test_servers(written: str, meant: str) -> None:
    assert [str(one) for one in Dns.model_validate({"servers": [written]}).servers] == [meant]


def test_an_attempt_that_nobody_wrote_is_no_mistake() -> None:
    assert Dns.model_validate({"timeout": "1s"}).timeout == 1
