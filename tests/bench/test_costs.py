"""What the parts cost: each is measured, and what is measured does what it is named for."""

from bench import costs
from smtproxy.session.records import Event


def test_the_session_of_the_core_is_a_delivery() -> None:
    mail = costs.Mail()
    mail.run()
    assert [record.event for record in mail.records] == [Event.COMMIT, Event.MESSAGE, Event.SESSION]
    assert mail.records[1].fields["outcome"] == "delivered"


def test_each_part_has_its_figure() -> None:
    found = costs.measure(rounds=1)
    assert len(found) == 9
    assert all(microseconds > 0 for microseconds in found.values())


def test_seconds_that_an_action_returns_are_taken_for_its_own() -> None:
    assert costs.costs(lambda: 2.0, rounds=1) == 2e6
