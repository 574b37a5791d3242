"""`value`: a data class that the type checker freezes and the interpreter does not.

A frozen data class sets each field through `object.__setattr__`, which doubles its price in Python 3.11; a session
makes some hundred events, effects and replies, and that was an eighth of the relay's CPU. Nobody may write to a value:
mypy says so (`dataclass_transform`, PEP 681).
"""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(kind: type[T]) -> type[T]:
    """Make a data class with slots, compared by its fields, frozen for the type checker."""
    return dataclass(slots=True)(kind)
