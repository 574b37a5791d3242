"""The governor: a check that goes mad delays mail instead of losing it, and is believed again when it has recovered."""

import random

from smtproxy.policy.governor import Change, Governor, GovernorSettings

_REFUSES = ({"check": "dnsbl", "action": "reject"},)
SETTINGS = GovernorSettings(window=60.0, factor=5, refusals=10, good=3)


def _window(governor: Governor, start: float, judged: int, refused: int, *, good: bool = False) -> list[Change]:
    """One window in which so many networks were judged, and so many of them refused."""
    changes = []
    for number in range(judged):
        notes = _REFUSES if number * 37 % judged < refused else ()
        client = f"{10 + number // 65536}.{number // 256 % 256}.{number % 256}.1"
        changes += governor.saw(("dnsbl",), notes, client, start + number / judged, good=good)
    return changes


def _with_history(share: int = 2) -> Governor:
    governor = Governor(SETTINGS)
    for window in range(5):
        assert _window(governor, window * 60.0, 100, share) == []
    return governor


def test_a_list_that_lists_the_world_is_demoted_and_recovers() -> None:
    governor = _with_history()
    (change,) = _window(governor, 300.0, 100, 100)
    assert (change.check, change.demoted, change.refused) == ("dnsbl", True, 10)
    assert governor.demoted == {"dnsbl"}
    assert _window(governor, 360.0, 100, 100) == []  # still mad
    assert _window(governor, 420.0, 100, 2) == []  # the window before this one was bad
    (change,) = _window(governor, 480.0, 100, 2)
    assert (change.check, change.demoted) == ("dnsbl", False)
    assert governor.demoted == frozenset()


def test_what_happened_while_it_was_mad_is_not_taken_for_usual() -> None:
    governor = _with_history()
    for window in range(5, 15):
        _window(governor, window * 60.0, 100, 100)
    assert governor.demoted == {"dnsbl"}
    _window(governor, 15 * 60.0, 100, 2)
    _window(governor, 16 * 60.0, 100, 2)
    assert _window(governor, 17 * 60.0, 100, 100)[0].demoted


def test_a_check_that_always_refuses_much_is_not_suspected() -> None:
    governor = _with_history(share=80)
    assert _window(governor, 300.0, 100, 90) == []


def test_without_a_history_its_rate_says_nothing() -> None:
    governor = Governor(SETTINGS)
    assert _window(governor, 0.0, 100, 100) == []


def test_senders_with_a_good_history_weigh_more_than_any_rate() -> None:
    governor = Governor(SETTINGS)
    changes = _window(governor, 0.0, 100, 3, good=True)
    assert [(change.demoted, change.good) for change in changes] == [(True, 3)]


def test_one_client_is_one_however_often_it_comes() -> None:
    governor = _with_history()
    for number in range(1000):
        assert governor.saw(("dnsbl",), _REFUSES, "192.0.2.1", 300.0 + number / 100, good=False) == []


def test_only_what_would_refuse_for_good_counts() -> None:
    governor = _with_history()
    for number in range(200):
        notes = (
            {"check": "dnsbl", "action": "defer"},
            {"check": "dnsbl", "action": "reject", "because": "exempt: client 192.0.2.1"},
            {"check": "dnsbl", "action": "reject", "because": "unknown"},
        )
        client = f"10.0.{number}.1"
        assert governor.saw(("dnsbl",), (notes[number % 3],), client, 300.0, good=False) == []
    assert governor.saw(("dnsbl",), _REFUSES, "", 300.0, good=False) == []


def test_on_a_busy_server_it_does_not_wait_for_a_tenth_of_the_window() -> None:
    """With the window alone 500 of 5,000 networks were refused before anything showed."""
    governor = Governor(SETTINGS)
    for window in range(2):
        assert _window(governor, window * 60.0, 5000, 100) == []
    assert _window(governor, 120.0, 2500, 50) == []
    refused = 0
    while not governor.demoted:
        refused += 1
        assert refused < 20
        governor.saw(("dnsbl",), _REFUSES, f"172.16.{refused}.1", 150.0, good=False)
    assert refused >= SETTINGS.refusals


def test_chance_alone_demotes_nobody() -> None:
    """A check that refuses three of ten, for a day of mail in random order."""
    draw, governor = random.Random(1), Governor(SETTINGS)
    for number in range(50_000):
        notes = _REFUSES if draw.random() < 0.3 else ()
        client = f"{10 + number // 65536}.{number // 256 % 256}.{number % 256}.1"
        assert governor.saw(("dnsbl",), notes, client, number * 0.2, good=False) == []
