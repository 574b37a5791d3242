"""An inquiry about a session that a test describes, over a resolver on a fake network."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from smtproxy.network.dns.answers import Resolver
from smtproxy.network.dns.resolver import AtHand
from smtproxy.policy.evidence import Fact, Unknown
from smtproxy.policy.facts import Key
from smtproxy.wire.paths import Path

T = TypeVar("T")


@dataclass(slots=True)
class FakeInquiry:
    """What a lookup may know and ask."""

    dns: Resolver
    client: str = "198.51.100.7"
    hello: str = ""
    sender: Path | None = None
    recipient: Path | None = None
    now: float = 0.0
    facts: dict[str, Fact[Any]] = field(default_factory=dict)
    listener: str = "mx"

    @property
    def quick(self) -> bool:
        """Whether it is asked from memory alone."""
        return isinstance(self.dns, AtHand)

    async def fact(self, key: Key[T]) -> Fact[T]:
        """Return what the test gave."""
        return self.facts.get(key.name, Unknown("not_asked"))

    async def message(self) -> bytes:
        """No lookup of these reads a message."""
        raise AssertionError
