"""Who has had mail delivered before."""

from smtproxy.policy.acquaintances import GOOD_AFTER, LASTS, PATIENCE_LASTS, Acquaintances


def test_a_history_needs_some_deliveries_and_ends_some_day() -> None:
    known = Acquaintances()
    for time in range(GOOD_AFTER):
        assert not known.good("192.0.2.1", (), float(time))
        known.delivered("192.0.2.1", (), float(time))
    assert known.good("192.0.2.200", (), 10.0)
    assert not known.good("192.0.3.1", (), 10.0)
    assert not known.good("192.0.2.1", (), 10.0 + LASTS)


def test_a_proven_domain_has_a_history_of_its_own() -> None:
    known = Acquaintances()
    for number in range(GOOD_AFTER):
        known.delivered(f"198.51.{number}.1", ("example.org",), 0.0)
    assert known.good("203.0.113.1", ("example.org",), 1.0)
    assert not known.good("203.0.113.1", ("example.net",), 1.0)


def test_it_is_bounded_and_forgets_the_oldest() -> None:
    known = Acquaintances(most=10)
    for number in range(100):
        for _ in range(GOOD_AFTER):
            known.delivered(f"10.0.{number}.1", (), 0.0)
    assert len(known) == 10
    assert known.good("10.0.99.1", (), 1.0)
    assert not known.good("10.0.0.1", (), 1.0)


def test_a_client_that_nobody_named_has_none() -> None:
    known = Acquaintances()
    for _ in range(GOOD_AFTER):
        known.delivered("", (), 0.0)
    assert not known.good("", (), 1.0)


def test_who_waited_once_need_not_wait_again_for_a_day() -> None:
    known = Acquaintances(most=2)
    assert not known.patient("192.0.2.1", 0.0)
    known.waited("192.0.2.1", 0.0)
    assert known.patient("::ffff:192.0.2.1", 10.0)
    assert not known.patient("192.0.2.2", 10.0)
    assert not known.patient("192.0.2.1", PATIENCE_LASTS)
    assert not known.patient("", 1.0)
    known.waited("", 1.0)
    for number in range(3, 5):
        known.waited(f"192.0.2.{number}", 1.0)
    assert not known.patient("192.0.2.1", 2.0)
