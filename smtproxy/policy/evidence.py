"""Evidence: what a check may look at. Not knowing is a value, and it says why."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Generic, TypeAlias, TypeVar

from smtproxy.policy.facts import Key
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.verdicts import Stage
from smtproxy.wire.paths import Path
from smtproxy.wire.values import value

T = TypeVar("T")


@value
class Known(Generic[T]):
    """A fact that a source gave."""

    value: T


@value
class Unknown:
    """A fact that could not be had."""

    reason: str
    """timeout, servfail, crashed, ..."""


Fact: TypeAlias = Known[T] | Unknown
NOT_ASKED = Unknown("not_asked")
NOT_CONFIGURED = Unknown("not_configured")
"""Nothing looks it up here."""
NOBODY_ASKED = frozenset({NOT_ASKED.reason, NOT_CONFIGURED.reason})


@value
class Evidence:
    """What is known at a stage."""

    stage: Stage
    dialogue: Dialogue
    """What the dialogue itself shows."""
    facts: Mapping[str, Fact[Any]] = field(default_factory=dict)
    """What lookups and scanners found, by fact key."""
    standing: Path | None = None
    """The first recipient of this transaction that was accepted so far: later ones must not differ in what may follow
    for the message, and at MESSAGE it is the one whose settings count."""
    demoted: frozenset[str] = frozenset()
    """Checks that the governor does not believe at present."""

    def get(self, key: Key[T]) -> Fact[T]:
        """Return a fact; one that nobody asked for is unknown, too."""
        return self.facts.get(key.name, NOT_ASKED)
