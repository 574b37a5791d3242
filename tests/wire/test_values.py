"""Values: compared by their fields, small, and with defaults, as data classes are."""

import pytest

from smtproxy.wire.values import value


@value
class Point:
    """A place."""

    x: int
    y: int = 0


def test_values_are_compared_by_their_fields() -> None:
    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(1, 2)
    assert repr(Point(1)).endswith("Point(x=1, y=0)")


def test_values_have_no_room_for_anything_else() -> None:
    assert not hasattr(Point(1), "__dict__")
    with pytest.raises(AttributeError):
        Point(1).z = 1  # type: ignore[attr-defined]


def test_the_type_checker_forbids_what_the_interpreter_does_not_look_at() -> None:
    point = Point(1)
    point.x = 2  # type: ignore[misc] # mypy says so if this is ever allowed
    assert point.x == 2


def test_values_can_be_matched() -> None:
    match Point(1, 2):
        case Point(x=1, y=y):
            assert y == 2
        case _:
            pytest.fail("no match")
