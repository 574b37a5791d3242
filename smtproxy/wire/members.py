"""A class decorator for the members of an Enum that stand in tables.

Python 3.11 hashes a member by its name, in Python, at ten times the price of an identity; a session looks up its
phase, its verbs and its replies some hundred times. Members are singletons, so nothing else changes.
"""

from enum import Enum
from typing import TypeVar

E = TypeVar("E", bound=type[Enum])


def hashed_by_identity(enumeration: E) -> E:
    """Let members be hashed as what they are: objects that exist once."""
    type.__setattr__(enumeration, "__hash__", object.__hash__)
    return enumeration
