"""Members hashed by identity: equal, distinct and found in tables as before."""

from enum import Enum, StrEnum

from smtproxy.wire.members import hashed_by_identity


@hashed_by_identity
class Colour(Enum):
    RED = "red"
    GREEN = "green"


@hashed_by_identity
class Word(StrEnum):
    YES = "yes"


def test_members_are_found_in_tables() -> None:
    table = {Colour.RED: 1, Colour.GREEN: 2}
    assert (table[Colour("red")], table[Colour["GREEN"]]) == (1, 2)
    assert Colour.RED in frozenset(Colour)
    assert len({*Colour, *Colour}) == 2


def test_the_hash_is_that_of_an_object() -> None:
    assert hash(Colour.RED) == object.__hash__(Colour.RED) != hash(Colour.GREEN)
    assert hash(Word.YES) == object.__hash__(Word.YES)


def test_the_class_itself_is_handed_back() -> None:
    class Plain(Enum):
        ONE = 1

    assert hashed_by_identity(Plain) is Plain
    assert list(Plain) == [Plain.ONE]
