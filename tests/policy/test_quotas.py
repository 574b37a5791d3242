"""Quotas: how many connections a client may have, that nobody else pays for it, and that counting is bounded."""

from collections import deque
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.policy.quotas import MINUTE, Excess, Quotas, QuotaSettings
from smtproxy.session.answers import Own
from smtproxy.session.networks import Grouping

ONE, OTHER = ip_address("192.0.2.1"), ip_address("192.0.2.2")
SETTINGS = QuotaSettings(connections=3, connections_per_minute=6)


def test_connections_at_once() -> None:
    quotas = Quotas(SETTINGS)
    inside = [quotas.enter(ONE, 0.0) for _ in range(3)]
    assert inside == [int(ONE)] * 3
    assert quotas.enter(ONE, 0.0) == Excess(Own.TOO_MANY_CONNECTIONS, "connections", "192.0.2.1", 3)
    assert quotas.enter(OTHER, 0.0) == int(OTHER)
    quotas.leave(int(ONE))
    assert quotas.enter(ONE, 0.0) == int(ONE)
    assert isinstance(quotas.enter(ONE, 0.0), Excess)


def test_connections_a_minute() -> None:
    quotas = Quotas(SETTINGS)

    def come_and_go(now: float) -> int | Excess | None:
        entered = quotas.enter(ONE, now)
        if isinstance(entered, int):
            quotas.leave(entered)
        return entered

    assert [come_and_go(0.0) for _ in range(6)] == [int(ONE)] * 6
    assert come_and_go(0.0) == Excess(Own.CONNECTS_TOO_OFTEN, "rate", "192.0.2.1", 6)
    assert isinstance(come_and_go(8.9), Excess)
    assert come_and_go(10.0) == int(ONE)
    assert isinstance(come_and_go(10.0), Excess)
    assert quotas.enter(OTHER, 10.0) == int(OTHER)
    assert [come_and_go(200.0) for _ in range(6)] == [int(ONE)] * 6


@pytest.mark.parametrize("a_minute", [1, 6, 7, 600, 999, 100_000])
def test_all_of_a_minute_at_once_and_not_one_more(a_minute: int) -> None:
    quotas = Quotas(replace(SETTINGS, connections=10**6, connections_per_minute=a_minute))
    assert sum(quotas.enter(ONE, 1e6) == int(ONE) for _ in range(a_minute + 5)) == a_minute


def test_who_is_refused_again_and_again_gets_in_once_others_have_left() -> None:
    quotas = Quotas(SETTINGS)
    for _ in range(3):
        quotas.enter(ONE, 0.0)
    assert all(isinstance(quotas.enter(ONE, 0.0), Excess) for _ in range(1000))
    quotas.leave(int(ONE))
    assert quotas.enter(ONE, 0.0) == int(ONE)


@pytest.mark.parametrize("other", ["2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff"])
def test_a_network_of_ipv6_is_one_client(other: str) -> None:
    quotas = Quotas(SETTINGS)
    for _ in range(3):
        quotas.enter(ip_address("2001:db8::1"), 0.0)
    refused = quotas.enter(ip_address(other), 0.0)
    assert isinstance(refused, Excess)
    assert refused.client == "2001:db8::/64"
    assert not isinstance(quotas.enter(ip_address("2001:db8:0:1::1"), 0.0), Excess)


def test_the_prefix_of_ipv4() -> None:
    quotas = Quotas(replace(SETTINGS, grouping=Grouping(24)))
    assert [isinstance(quotas.enter(IPv4Address(f"192.0.2.{n}"), 0.0), Excess) for n in range(5)] == [False] * 3 + [
        True
    ] * 2


def test_who_is_exempt_is_not_counted() -> None:
    quotas = Quotas(replace(SETTINGS, exempt=(ip_network("192.0.2.1"),)))
    assert [quotas.enter(ONE, 0.0) for _ in range(100)] == [None] * 100
    assert len(quotas) == 0
    assert Quotas(SETTINGS).enter(ip_address("127.0.0.1"), 0.0) is None
    assert Quotas(SETTINGS).enter(ip_address("::1"), 0.0) is None


def test_clients_that_are_gone_are_forgotten() -> None:
    quotas = Quotas(SETTINGS)
    for number in range(20_000):
        entered = quotas.enter(IPv4Address(number), number * 1.0)
        assert isinstance(entered, int)
        quotas.leave(entered)
    assert len(quotas) < 600


def test_a_full_table_lets_new_clients_in_uncounted_and_forgets_nobody() -> None:
    quotas = Quotas(replace(SETTINGS, most_clients=1000))
    for number in range(1000):
        assert quotas.enter(IPv4Address(number), 0.0) == number
    assert [quotas.enter(IPv4Address(5000 + number), 0.0) for number in range(5000)] == [None] * 5000
    assert len(quotas) == 1000
    assert [isinstance(quotas.enter(IPv4Address(7), 0.0), Excess) for _ in range(3)] == [False, False, True]
    for number in range(1000):
        quotas.leave(number)
    # Each bucket is empty after ten seconds, that of number 7 after thirty.
    assert quotas.enter(IPv4Address(6000), 11.0) == 6000
    assert len(quotas) == 2


MOVES = st.lists(
    st.tuples(st.sampled_from(["come", "go"]), st.integers(0, 2), st.sampled_from([0.0, 0.0, 0.5, 5.0, 10.0, 61.0])),
    max_size=60,
)


@given(MOVES)
def test_it_counts_right(moves: list[tuple[str, int, float]]) -> None:
    """Never more at once than allowed, never more than twice the number of a minute in any minute, nobody refused who
    has neither.
    """
    quotas, now = Quotas(SETTINGS), 0.0
    inside = dict.fromkeys(range(3), 0)
    came: dict[int, deque[float]] = {number: deque() for number in range(3)}
    for what, number, passed in moves:
        now += passed
        lately = came[number]
        while lately and lately[0] <= now - MINUTE:
            lately.popleft()
        if what == "go":
            if inside[number]:
                inside[number] -= 1
                quotas.leave(number)
            continue
        entered = quotas.enter(IPv4Address(number), now)
        if isinstance(entered, Excess):
            assert inside[number] == 3 or len(lately) >= 6
            assert (entered.reason == "connections") == (inside[number] == 3)
        else:
            inside[number] += 1
            lately.append(now)
            assert inside[number] <= 3
            assert len(lately) <= 12
