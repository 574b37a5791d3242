"""The bound on memory that all sessions share."""

from smtproxy.session.memory import Memory


def test_what_is_taken_is_not_there_for_others() -> None:
    memory = Memory(10)
    assert memory.take(7)
    assert memory.left == 3
    assert memory.take(3)
    assert not memory.take(1)


def test_a_refusal_reserves_nothing() -> None:
    memory = Memory(10)
    assert not memory.take(11)
    assert memory.left == 10


def test_what_is_given_back_can_be_had_again() -> None:
    memory = Memory(10)
    assert memory.take(10)
    memory.give(4)
    assert memory.left == 4
    assert memory.take(4)


def test_nothing_can_always_be_had() -> None:
    assert Memory(0).take(0)
