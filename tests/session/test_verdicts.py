"""Verdicts: nothing else lets a command pass."""

from typing import get_args

from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from tests.session.parts import NEVER


def test_a_verdict_is_one_of_two_things() -> None:
    assert set(get_args(Verdict)) == {Accepted, Refused}


def test_a_refusal_without_a_reply_cannot_be_made() -> None:
    made = Refused(Stage.MAIL, NEVER, "some_check")
    assert (made.reply, made.by, made.drop, made.delay) == (NEVER, "some_check", False, 0.0)
    assert Accepted(Stage.MAIL).delay == 0.0


def test_verdicts_are_compared_by_what_they_say() -> None:
    assert Accepted(Stage.MESSAGE) == Accepted(Stage.MESSAGE)
    assert Accepted(Stage.MESSAGE) != Accepted(Stage.DATA)
