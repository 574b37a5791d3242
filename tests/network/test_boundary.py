"""What is raised in the background is logged with its place, and ends nothing else."""

import pytest
import trio

from smtproxy.network.boundary import Surviving
from smtproxy.session.records import Event
from tests.fakes.journal import FakeJournal


def fail() -> None:
    raise ZeroDivisionError("no")


def test_a_bug_is_logged_with_its_place() -> None:
    journal = FakeJournal()
    with Surviving(journal, "here"):
        fail()
    crash = journal.one(Event.CRASH)
    assert (crash["where"], repr(crash["error"])) == ("here", "ZeroDivisionError('no')")
    assert crash["traceback"] is not None


def test_nothing_is_said_where_nothing_is_raised() -> None:
    journal = FakeJournal()
    with Surviving(journal, "here"):
        pass
    assert journal.lines == []


async def test_who_is_cancelled_is_cancelled() -> None:
    journal = FakeJournal()
    with trio.CancelScope() as scope:
        scope.cancel()
        with Surviving(journal, "here"):
            await trio.sleep_forever()
        pytest.fail("went on")
    assert scope.cancelled_caught
    assert journal.lines == []
