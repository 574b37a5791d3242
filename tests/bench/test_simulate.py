"""What each kind of sender meets in a simulated day, judged by the real policy: 50,000 mails on a virtual clock."""

import pytest

from bench.simulate import Experience, simulate, table

MAILS = 50_000
HONEST = ("pools, SPF", "pools, reverse name", "small servers, poor", "small servers", "mailing lists")


@pytest.fixture(scope="module")
def day() -> dict[str, Experience]:
    return simulate(MAILS)


def test_no_honest_mail_is_lost(day: dict[str, Experience]) -> None:
    for kind in HONEST:
        one = day[kind]
        assert (one.refused, one.given_up, one.delivered) == (0, 0, one.mails), kind
        assert one.mails >= 1000, kind


@pytest.mark.parametrize("kind", ["pools, SPF", "pools, reverse name", "mailing lists"])
def test_an_organisation_of_many_addresses_is_delayed_once(day: dict[str, Experience], kind: str) -> None:
    """Whatever it sends before its first mail has come again waits for one retry, and nothing after that."""
    one = day[kind]
    assert one.delayed > 0, "it is not suspicious, so this shows nothing"
    assert (one.late, one.most_retries) == (0, 1)
    assert max(one.by_organisation.values()) <= 5
    assert one.delayed < one.mails / 50


def test_the_first_mail_of_a_small_server_waits_for_one_retry_at_most(day: dict[str, Experience]) -> None:
    one = day["small servers, poor"]
    assert (one.delayed, one.most_retries, one.late) == (one.mails, 1, 0)
    assert one.wait(1.0) < 901.0, "the first retry of Exim comes after 15 minutes"
    assert day["small servers"].delayed == 0


def test_bots_do_not_come_again(day: dict[str, Experience]) -> None:
    one = day["bots"]
    assert one.given_up == one.delayed > 0
    assert one.delivered < one.mails / 8


def test_strict_delays_more_and_loses_nothing() -> None:
    cautious, strict = simulate(3000), simulate(3000, profile="strict")
    assert strict["bots"].delivered < cautious["bots"].delivered
    assert strict["small servers"].delivered == cautious["small servers"].delivered == strict["small servers"].mails


def test_the_same_seed_gives_the_same_day() -> None:
    assert table(simulate(1000, 7)) == table(simulate(1000, 7)) != table(simulate(1000, 8))
