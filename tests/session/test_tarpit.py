"""Who is delayed at once: bounds for one client and for all, and nobody is counted who was not let in."""

import pytest

from smtproxy.session.networks import Grouping
from smtproxy.session.tarpit import PaceFor, Tarpit, TarpitSettings


def test_one_client_has_its_bound_and_others_have_their_own() -> None:
    tarpit = Tarpit(TarpitSettings(max_per_client=2))
    assert [tarpit.enter("192.0.2.1") for _ in range(4)] == ["", "", "max_per_client", "max_per_client"]
    assert tarpit.enter("192.0.2.2") == ""
    assert len(tarpit) == 3


def test_all_together_have_theirs() -> None:
    tarpit = Tarpit(TarpitSettings(max_total=2))
    assert [tarpit.enter(f"192.0.2.{number}") for number in range(4)] == ["", "", "max_total", "max_total"]
    assert len(tarpit) == 2


def test_who_leaves_makes_room_once() -> None:
    tarpit = Tarpit(TarpitSettings(max_per_client=2, max_total=2))
    tarpit.enter("192.0.2.1")
    tarpit.enter("192.0.2.1")
    tarpit.leave("192.0.2.1")
    assert [tarpit.enter("192.0.2.1"), tarpit.enter("192.0.2.1")] == ["", "max_per_client"]
    for _ in range(2):
        tarpit.leave("192.0.2.1")
    assert len(tarpit) == 0
    with pytest.raises(KeyError):
        tarpit.leave("192.0.2.1")


def test_nobody_who_has_left_is_remembered() -> None:
    tarpit = Tarpit(TarpitSettings())
    for number in range(100):
        tarpit.enter(f"192.0.2.{number}")
        tarpit.leave(f"192.0.2.{number}")
    assert tarpit._of_client == {}


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_a_client_is_what_the_quotas_take_for_one(first: str, second: str, same: bool) -> None:
    tarpit = Tarpit(TarpitSettings(max_per_client=1))
    tarpit.enter(first)
    assert tarpit.enter(second) == ("max_per_client" if same else "")


def test_a_client_may_be_a_network() -> None:
    tarpit = Tarpit(TarpitSettings(max_per_client=1, grouping=Grouping(ipv4=24)))
    tarpit.enter("192.0.2.1")
    assert tarpit.enter("192.0.2.200") == "max_per_client"
    assert tarpit.enter("198.51.100.1") == ""


@pytest.mark.parametrize(("whose", "paces"), [(PaceFor.FINDINGS, [700, 0]), (PaceFor.ALL, [700, 700])])
def test_whose_bodies_are_taken_slowly(whose: PaceFor, paces: list[int]) -> None:
    tarpit = Tarpit(TarpitSettings(pace=700, pace_for=whose))
    assert [tarpit.pace(suspect=one) for one in (True, False)] == paces


def test_by_default_nobodys_are() -> None:
    assert Tarpit(TarpitSettings()).pace(suspect=True) == 0
