"""A turn changes something once, and the first reply decides what."""

import pytest

from smtproxy.sample.script import Point
from smtproxy.sample.turn import Turn


@pytest.mark.parametrize(("good", "changed"), [(True, ["taken"]), (False, ["missed"])])
def test_a_turn_is_settled_once(good: bool, changed: list[str]) -> None:
    done: list[str] = []
    turn = Turn(Point.MAIL, "250 OK", lambda: done.append("taken"), lambda: done.append("missed"))
    turn.settle(good=good)
    turn.settle(good=not good)
    assert done == changed


@pytest.mark.parametrize(
    ("text", "good", "expected"),
    [("250 OK", b"2", True), ("354 go", b"2", False), ("354 go", b"3", True), (None, b"2", False)],
)
def test_good_replies(text: str | None, good: bytes, expected: bool) -> None:
    assert Turn(Point.DATA, text, good=good).is_good is expected
