"""The table of quotas: its defaults are those of the policy; mistakes are in configurations/quotas_wrong."""

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from smtproxy.app.config.quotas import Quotas
from smtproxy.policy.quotas import QuotaSettings


def test_defaults_are_those_of_the_policy() -> None:
    table, policy = Quotas(), QuotaSettings()
    assert (table.connections, table.connections_per_minute) == (policy.connections, policy.connections_per_minute)
    assert (table.ipv4_prefix, table.ipv6_prefix) == (policy.grouping.ipv4, policy.grouping.ipv6)
    assert table.exempt == policy.exempt


def test_nobody_may_be_exempt() -> None:
    assert Quotas.model_validate({"exempt": []}).exempt == ()
    assert Quotas.model_validate({"exempt": ["192.0.2.0/24"]}).exempt == (ip_network("192.0.2.0/24"),)


@pytest.mark.parametrize("name", ["connections", "connections_per_minute", "ipv4_prefix", "ipv6_prefix"])
def test_nothing_is_switched_off_by_a_zero(name: str) -> None:
    with pytest.raises(ValidationError):
        Quotas.model_validate({name: 0})
