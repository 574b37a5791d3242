"""Rules are found by count and by octet, each at its place."""

from smtproxy.sample.rulebook import Rulebook
from smtproxy.sample.script import Point, Rule, Script


def book(*rules: Rule) -> Rulebook:
    return Rulebook(Script(rules), 1)


def test_mail_counts_in_the_connection_and_rcpt_in_the_transaction() -> None:
    second_mail, second_rcpt = Rule(Point.MAIL, nth=2), Rule(Point.RCPT, nth=2)
    rules = book(second_mail, second_rcpt)
    assert rules.at(Point.MAIL, 1) is None
    assert [rules.at(Point.RCPT, 1) for _ in range(3)] == [None, second_rcpt, None]
    assert rules.at(Point.MAIL, 2) is second_mail
    assert [rules.at(Point.RCPT, 2) for _ in range(2)] == [None, second_rcpt]


def test_the_first_rule_that_fits_is_used() -> None:
    special, general = Rule(Point.RCPT, transactions=(2,)), Rule(Point.RCPT)
    rules = book(special, general)
    assert rules.at(Point.RCPT, 1) is general
    assert rules.at(Point.RCPT, 2) is special


def test_places_by_octets_come_in_order_and_once() -> None:
    late, early = Rule(Point.RECEIVED, octets=20), Rule(Point.RECEIVED, octets=5)
    rules = book(late, early)
    assert rules.received(0) == 5
    assert rules.received(9) == 0
    assert rules.take(Point.RECEIVED) is early
    assert rules.received(9) == 11
    assert rules.take(Point.RECEIVED) is late
    assert rules.received(9) is None
    assert rules.sent(0) is None


def test_body_rules_come_again_in_each_transaction_they_name() -> None:
    every, second = Rule(Point.BODY, octets=3), Rule(Point.BODY, octets=1, transactions=(2,))
    rules = book(every, second)
    assert rules.body(0, 1) == 3
    assert rules.take(Point.BODY) is every
    assert rules.body(3, 1) is None
    assert rules.body(0, 2) == 1
    assert rules.take(Point.BODY) is second
    assert rules.body(1, 2) == 2
