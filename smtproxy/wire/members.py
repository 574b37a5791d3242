"""A class decorator that makes the members of an Enum as cheap as other class attributes.

Python 3.11 reaches a member through a descriptor written in Python (eight times the price, and a session looks at its
phase some hundred times), and hashes it by its name. 3.12 has the first part by itself. Nothing else changes.
"""

from enum import Enum
from typing import TypeVar

E = TypeVar("E", bound=type[Enum])


def plain_members(enumeration: E) -> E:
    """Make members plain class attributes that are hashed by identity: they are singletons."""
    for name, member in enumeration.__members__.items():
        type.__setattr__(enumeration, name, member)
    if enumeration.__hash__ is Enum.__hash__:
        type.__setattr__(enumeration, "__hash__", object.__hash__)
    return enumeration
