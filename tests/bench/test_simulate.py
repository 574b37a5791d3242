"""A day of mixed traffic: who is honest waits once, whatever he looks like; who does not come again gets nothing in."""

import pytest

from bench.simulate import Experience, simulate, table

MAILS = 38_000
"""Some 50,000 sessions, with those that come again."""
HONEST = ("pools of 64 addresses", "small servers", "a mailing list")


@pytest.fixture(scope="module")
def met() -> dict[str, Experience]:
    return simulate(MAILS)


def test_it_is_a_day_of_all_kinds(met: dict[str, Experience]) -> None:
    assert sum(one.mails for one in met.values()) == MAILS
    assert sum(one.sessions for one in met.values()) > 50_000
    assert all(one.mails > 1000 for one in met.values())


@pytest.mark.parametrize("kind", HONEST)
def test_no_honest_mail_is_lost_or_waits_for_more_than_one_retry(met: dict[str, Experience], kind: str) -> None:
    one = met[kind]
    assert (one.refused, len(one.delays), one.most_retries) == (0, one.mails, 1)
    assert max(one.delays) <= 1800


@pytest.mark.parametrize("kind", HONEST)
def test_who_came_again_once_is_never_asked_again(met: dict[str, Experience], kind: str) -> None:
    """So an organisation of 64 addresses waits once: only what it sent before its first retry had to wait."""
    assert met[kind].after_a_pass == 0


def test_few_mails_of_a_pool_wait(met: dict[str, Experience]) -> None:
    one = met["pools of 64 addresses"]
    assert 20 <= one.waited < one.mails / 100


@pytest.mark.parametrize("kind", ["bots, once", "bots, again at once"])
def test_who_does_not_come_again_in_time_gets_next_to_nothing_in(met: dict[str, Experience], kind: str) -> None:
    """What gets in are two bots of one network that look alike by chance."""
    one = met[kind]
    assert len(one.delays) < one.mails / 200
    assert one.refused == 0


def test_the_same_seed_is_the_same_day() -> None:
    assert simulate(500, seed=7) == simulate(500, seed=7)
    assert simulate(500, seed=7) != simulate(500, seed=8)


def test_the_table_says_it(met: dict[str, Experience]) -> None:
    lines = list(table(met))
    assert lines[1].split()[:6] == ["bots,", "once", *map(str, (met["bots, once"].mails,) * 2), *lines[1].split()[4:6]]
    assert [line[:22].strip() for line in lines[1:-1]] == list(met)
