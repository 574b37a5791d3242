"""What all tables have in common: words of a list, and lists that become tuples."""

from enum import Enum
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from smtproxy.app.config.tables import LIST, STRICT, member_of, one_of


class Fruit(Enum):
    APPLE = "apple"
    PEAR = "pear"


FRUIT: TypeAdapter[Fruit] = TypeAdapter(Annotated[Fruit, member_of(Fruit, later=["plum"])])
WORD: TypeAdapter[str] = TypeAdapter(Annotated[str, one_of(["yes", "no"], later=["perhaps"])])
NUMBERS: TypeAdapter[tuple[int, ...]] = TypeAdapter(Annotated[tuple[int, ...], LIST], config=STRICT)


def test_word_becomes_a_member() -> None:
    assert FRUIT.validate_python("pear") is Fruit.PEAR
    assert WORD.validate_python("no") == "no"


@pytest.mark.parametrize("value", ["", "APPLE", 1, None, [], {}, True, "maybe"])
def test_other_words_are_errors(value: object) -> None:
    with pytest.raises(ValidationError, match='must be "apple" or "pear"'):
        FRUIT.validate_python(value)
    with pytest.raises(ValidationError, match='must be "yes" or "no"'):
        WORD.validate_python(value)


def test_later_words_say_so() -> None:
    with pytest.raises(ValidationError, match='"plum" comes with a later version; this one knows "apple" or "pear"'):
        FRUIT.validate_python("plum")
    with pytest.raises(ValidationError, match='"perhaps" comes with a later version; this one knows "yes" or "no"'):
        WORD.validate_python("perhaps")


def test_lists_become_tuples() -> None:
    assert NUMBERS.validate_python([1, 2]) == (1, 2)
    for value in ("12", 1, {"a": 1}, {1, 2}, ["1"], [True]):
        with pytest.raises(ValidationError):
            NUMBERS.validate_python(value)
