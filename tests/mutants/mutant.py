"""A fault to be planted, as data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """One piece of text, and what takes its place."""

    path: str
    """Below smtproxy/."""
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    """The quickest tests that are enough to see it."""
