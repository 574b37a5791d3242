"""Quotas: how many connections a client may have, that nobody else pays for it, and that counting is bounded."""

from collections import deque
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.policy.client_table import MOST_CONNECTIONS, WAYS, ClientTable, octets
from smtproxy.policy.quotas import MINUTE, Excess, Quotas, QuotaSettings
from smtproxy.session.answers import Own
from smtproxy.session.networks import Address, Grouping

ONE, OTHER = ip_address("192.0.2.1"), ip_address("192.0.2.2")
SETTINGS = QuotaSettings(connections=3, connections_per_minute=6)


def _enter(quotas: Quotas, address: Address, now: float = 0.0) -> int:
    """Let a client in that is to be counted; -> what `leave` wants."""
    entered = quotas.enter(address, now)
    assert isinstance(entered, int)
    return entered


def test_connections_at_once() -> None:
    quotas = Quotas(SETTINGS)
    inside = [_enter(quotas, ONE) for _ in range(3)]
    assert quotas.enter(ONE, 0.0) == Excess(Own.TOO_MANY_CONNECTIONS, "connections", "192.0.2.1", 3)
    _enter(quotas, OTHER)
    assert quotas.inside == 4
    quotas.leave(inside[0])
    _enter(quotas, ONE)
    assert isinstance(quotas.enter(ONE, 0.0), Excess)


def test_connections_a_minute() -> None:
    quotas = Quotas(SETTINGS)

    def come_and_go(now: float) -> Excess | None:
        entered = quotas.enter(ONE, now)
        assert entered is not None
        if isinstance(entered, Excess):
            return entered
        quotas.leave(entered)
        return None

    assert [come_and_go(0.0) for _ in range(6)] == [None] * 6
    assert come_and_go(0.0) == Excess(Own.CONNECTS_TOO_OFTEN, "rate", "192.0.2.1", 6)
    assert isinstance(come_and_go(8.9), Excess)
    assert come_and_go(10.0) is None
    assert isinstance(come_and_go(10.0), Excess)
    _enter(quotas, OTHER, 10.0)
    assert [come_and_go(200.0) for _ in range(6)] == [None] * 6


@pytest.mark.parametrize("a_minute", [1, 6, 7, 600, 999, 60_000])
def test_all_of_a_minute_at_once_and_not_one_more(a_minute: int) -> None:
    quotas = Quotas(replace(SETTINGS, connections=MOST_CONNECTIONS, connections_per_minute=a_minute))
    assert sum(isinstance(quotas.enter(ONE, 1e6), int) for _ in range(a_minute + 5)) == a_minute


def test_who_is_refused_again_and_again_gets_in_once_others_have_left() -> None:
    quotas = Quotas(SETTINGS)
    inside = [_enter(quotas, ONE) for _ in range(3)]
    assert all(isinstance(quotas.enter(ONE, 0.0), Excess) for _ in range(1000))
    quotas.leave(inside[0])
    _enter(quotas, ONE)


def test_two_workers_count_together() -> None:
    """Also when their clocks began at another moment: the second one's is a thousand seconds behind."""
    table = ClientTable(memoryview(bytearray(octets(100, 2))), 100, 2)
    one, other = Quotas(SETTINGS, table, 0), Quotas(SETTINGS, table, 1, offset=1000.0)
    inside = [_enter(one, ONE, 1000.0), _enter(other, ONE, 0.0), _enter(other, ONE, 0.0)]
    assert (one.inside, other.inside) == (1, 2)
    for quotas, now in ((one, 1000.0), (other, 0.0)):
        refused = quotas.enter(ONE, now)
        assert isinstance(refused, Excess)
        assert refused.reason == "connections"
    other.leave(inside[1])
    _enter(one, ONE, 1000.0)
    one.leave(inside[0])
    _enter(other, ONE, 0.0)
    one.leave(inside[0])
    _enter(other, ONE, 0.0)
    other.leave(inside[1])
    for quotas, now in ((one, 1000.0), (other, 0.0)):
        refused = quotas.enter(ONE, now)
        assert isinstance(refused, Excess)
        assert refused.reason == "rate"


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
    assert quotas.inside == 0
    assert Quotas(SETTINGS).enter(ip_address("127.0.0.1"), 0.0) is None
    assert Quotas(SETTINGS).enter(ip_address("::1"), 0.0) is None


def test_clients_that_are_gone_are_forgotten() -> None:
    quotas = Quotas(replace(SETTINGS, most_clients=WAYS))
    for number in range(20_000):
        quotas.leave(_enter(quotas, IPv4Address(number), number * 60.0))


def test_a_full_table_lets_new_clients_in_uncounted_and_forgets_nobody() -> None:
    quotas = Quotas(replace(SETTINGS, most_clients=WAYS // 2))  # one bucket
    inside = [_enter(quotas, IPv4Address(number)) for number in range(WAYS)]
    assert [quotas.enter(IPv4Address(5000 + number), 0.0) for number in range(100)] == [None] * 100
    assert quotas.inside == WAYS
    assert [isinstance(quotas.enter(IPv4Address(7), 0.0), Excess) for _ in range(3)] == [False, False, True]
    for entry in inside:
        quotas.leave(entry)
    # Each minute is empty after ten seconds, that of number 7 after thirty.
    _enter(quotas, IPv4Address(6000), 11.0)
    assert quotas.inside == 3


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
    inside: dict[int, list[int]] = {number: [] for number in range(3)}
    came: dict[int, deque[float]] = {number: deque() for number in range(3)}
    for what, number, passed in moves:
        now += passed
        lately = came[number]
        while lately and lately[0] <= now - MINUTE:
            lately.popleft()
        if what == "go":
            if inside[number]:
                quotas.leave(inside[number].pop())
            continue
        entered = quotas.enter(IPv4Address(number), now)
        if isinstance(entered, Excess):
            assert len(inside[number]) == 3 or len(lately) >= 6
            assert (entered.reason == "connections") == (len(inside[number]) == 3)
        else:
            assert entered is not None
            inside[number].append(entered)
            lately.append(now)
            assert len(inside[number]) <= 3
            assert len(lately) <= 12
