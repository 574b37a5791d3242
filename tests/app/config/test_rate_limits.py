"""The tables [[limits]]. Mistakes are in tests/app/configurations."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from smtproxy.app.assembly import rate_limits
from smtproxy.app.config import ConfigErrors, load
from smtproxy.app.config.profiles import LIMITS, Profile
from smtproxy.app.config.rate_limits import MOST
from smtproxy.policy.findings import Action
from smtproxy.policy.rate_limits import Of, Per, RateLimit
from smtproxy.session.networks import Grouping

MINIMAL = """
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:25"]
"""
LIMIT = '[[limits]]\nname = "l{}"\nof = "messages"\nrate = "100/1h"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.toml"


def test_name_what_and_rate_are_enough(file: Path) -> None:
    file.write_text(MINIMAL + LIMIT.format(1))
    config = load(file)
    assert config.limits[0].action is Action.DEFER
    assert rate_limits(config) == (RateLimit("l1", Per.CLIENT, Of.MESSAGES, 100, 3600.0, 100),)


def test_all_of_it(file: Path) -> None:
    file.write_text(
        f'{MINIMAL}[[limits]]\nname = "a"\nof = "octets"\nper = "network"\nrate = "500MiB/10m"\nburst = "20MiB"\n'
        'action = "drop"\nexempt = ["192.0.2.0/24"]\nipv4_prefix = 20\nipv6_prefix = 48\n'
    )
    (limit,) = rate_limits(load(file))
    network = (IPv4Network("192.0.2.0/24"),)
    assert limit == RateLimit("a", Per.NETWORK, Of.OCTETS, 500 << 20, 600.0, 20 << 20, network, Grouping(20, 48))


def test_a_client_is_one_as_in_quotas(file: Path) -> None:
    file.write_text(f"{MINIMAL}[quotas]\nipv4_prefix = 28\n{LIMIT.format(1)}")
    assert rate_limits(load(file))[0].grouping == Grouping(28, 64)


@pytest.mark.parametrize(
    ("of", "action", "written", "longest"),
    [
        ("unknown_recipients", "tarpit", "", 60.0),
        ("unknown_recipients", "tarpit", 'longest_delay = "20s"\n', 20.0),
        ("unknown_recipients", "drop", 'longest_delay = "20s"\n', None),
        ("errors", "tarpit", 'longest_delay = "20s"\n', None),
    ],
)
def test_only_a_tarpit_of_unknown_recipients_doubles(
    of: str, action: str, written: str, longest: float | None, file: Path
) -> None:
    limit = LIMIT.format(1).replace("messages", of)
    file.write_text(f'{MINIMAL}{limit}action = "{action}"\n{written}')
    assert rate_limits(load(file))[0].longest_delay == longest


def test_no_delay_outlasts_an_honest_client(file: Path) -> None:
    file.write_text(f'{MINIMAL}{LIMIT.format(1)}longest_delay = "61s"\n')
    with pytest.raises(ConfigErrors, match="longest_delay: must not be above 1m"):
        load(file)


def test_what_is_off_is_not_counted(file: Path) -> None:
    file.write_text(f'{MINIMAL}{LIMIT.format(1)}action = "off"\n{LIMIT.format(2)}')
    assert [one.name for one in rate_limits(load(file))] == ["l2"]


@pytest.mark.parametrize("profile", list(Profile))
def test_without_any_those_of_the_profile_hold(profile: Profile, file: Path) -> None:
    file.write_text(f'profile = "{profile.value}"\n{MINIMAL}')
    found = {one.name: one.action.value for one in load(file).limits}
    assert found == {limit["name"]: stance.action(profile) for limit, stance in LIMITS}
    file.write_text(f'limits = []\nprofile = "{profile.value}"\n{MINIMAL}')
    assert load(file).limits == ()


def test_most_limits(file: Path) -> None:
    file.write_text(MINIMAL + "".join(LIMIT.format(number) for number in range(MOST)))
    assert len(load(file).limits) == MOST
    file.write_text(MINIMAL + "".join(LIMIT.format(number) for number in range(MOST + 1)))
    with pytest.raises(ConfigErrors, match="limits: must not have more than 50 elements"):
        load(file)


def test_only_limits_that_are_there_can_be_exempted(file: Path) -> None:
    exemption = '[[exemptions]]\nclients = ["192.0.2.0/24"]\nchecks = ["limit:{}"]\n'
    file.write_text(MINIMAL + LIMIT.format(1) + exemption.format("l1"))
    assert load(file).exemptions[0].checks == ("limit:l1",)
    file.write_text(MINIMAL + LIMIT.format(1) + exemption.format("l2"))
    with pytest.raises(ConfigErrors, match='there is no check "limit:l2"'):
        load(file)
