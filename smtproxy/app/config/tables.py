"""What all tables of the configuration have in common: they are strict, and some settings are one word of a list.

A word that is documented but that this version cannot honour must be an error that says so, never accepted and ignored.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final

from pydantic import BeforeValidator, ConfigDict

STRICT: Final = ConfigDict(extra="forbid", frozen=True, strict=True)
"""Unknown keys are errors, values are never converted by guessing ("1" is no number), nothing changes afterwards."""


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


LIST: Final = BeforeValidator(_listed)
"""A list of the file becomes a tuple, which nobody can change; strict validation would take nothing but a tuple."""


def member_of(words: type[Enum], later: Sequence[str] = ()) -> BeforeValidator:
    """Make a validator that turns a word into the member with that value; words that come later are errors."""
    check = one_of([member.value for member in words], later)
    return BeforeValidator(lambda value: words(check.func(value)))  # type: ignore[call-arg] # the form without info


def one_of(possible: Sequence[str], later: Sequence[str] = ()) -> BeforeValidator:
    """Make a validator that takes the possible words, and says of the later ones that they are not there yet."""

    def choose(value: object) -> object:
        if isinstance(value, str) and value in possible:
            return value
        words = " or ".join(f'"{word}"' for word in possible)
        if isinstance(value, str) and value in later:
            raise ValueError(f'"{value}" comes with a later version; this one knows {words}')
        raise ValueError(f"must be {words}")

    return BeforeValidator(choose)
