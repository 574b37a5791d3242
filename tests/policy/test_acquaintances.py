"""Who has had mail delivered before."""

from smtproxy.policy.acquaintances import PATIENCE_LASTS, Acquaintances
from smtproxy.policy.remembering import Forgetful
from tests.fakes.remembering import FakeRemembering

DAY = 86400.0


def test_a_history_needs_some_deliveries_and_ends_some_day() -> None:
    kept = FakeRemembering()
    known = Acquaintances(kept)
    for _ in range(3):
        assert not known.good("192.0.2.1", ())
        known.delivered("192.0.2.1", ())
        kept.now += DAY
    assert known.good("192.0.2.200", ())
    assert not known.good("192.0.3.1", ())
    kept.now += 25 * DAY
    assert known.good("192.0.2.1", ())
    kept.now += 10 * DAY
    assert not known.good("192.0.2.1", ())


def test_who_comes_more_often_is_remembered_for_longer() -> None:
    kept = FakeRemembering()
    known = Acquaintances(kept)
    for _ in range(20):
        known.delivered("192.0.2.1", ())
    kept.now += 180 * DAY
    assert known.good("192.0.2.1", ())


def test_a_proven_domain_has_a_history_of_its_own() -> None:
    known = Acquaintances(FakeRemembering())
    for number in range(3):
        known.delivered(f"198.51.{number}.1", ("example.org",))
    assert known.good("203.0.113.1", ("example.org",))
    assert not known.good("203.0.113.1", ("example.net",))


def test_a_client_that_nobody_named_has_none() -> None:
    known = Acquaintances(FakeRemembering())
    for _ in range(3):
        known.delivered("", ())
    assert not known.good("", ())


def test_who_waited_once_need_not_wait_again_for_a_day() -> None:
    kept = FakeRemembering()
    known = Acquaintances(kept)
    assert not known.patient("192.0.2.1")
    known.waited("192.0.2.1")
    assert known.patient("::ffff:192.0.2.1")
    assert not known.patient("192.0.2.2")
    known.waited("")
    assert not known.patient("")
    kept.now += PATIENCE_LASTS
    assert not known.patient("192.0.2.1")


def test_what_others_know_is_fetched_when_somebody_comes() -> None:
    kept = FakeRemembering()
    known = Acquaintances(kept)
    known.meet("192.0.2.7", waits=True)
    known.hear_of("example.org")
    known.meet("", waits=True)
    known.hear_of("")
    known.meet("198.51.100.7", waits=False)
    assert kept.fetched == [
        ("delivered", "192.0.2.0/24"),
        ("patient", "192.0.2.7"),
        ("delivered", "example.org"),
        ("delivered", "198.51.100.0/24"),
    ]


def test_a_session_that_is_only_thought_of_has_no_history() -> None:
    known = Acquaintances(Forgetful())
    for _ in range(3):
        known.delivered("192.0.2.1", ())
    known.waited("192.0.2.1")
    known.meet("192.0.2.1", waits=True)
    assert not known.good("192.0.2.1", ())
    assert not known.patient("192.0.2.1")
