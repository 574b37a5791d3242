"""The reputations as facts: at hand, but for the proof of a domain that is allowed."""

from dataclasses import dataclass, field
from typing import TypeVar

from smtproxy.lookups.reputation import lookups
from smtproxy.policy.evidence import Fact, Known
from smtproxy.policy.facts import Key, Reputation
from smtproxy.policy.reputation import ENTRY, Reputations
from smtproxy.wire.paths import NULL_PATH, Path
from tests.fakes.remembering import FakeRemembering
from tests.lookups.inquiries import FakeInquiry
from tests.stores.tables import at_once

T = TypeVar("T")

CLIENT = "198.51.100.7"


@dataclass
class Asked(FakeInquiry):
    """An inquiry that remembers which other facts were asked for."""

    asked: list[str] = field(default_factory=list)

    async def fact(self, key: Key[T]) -> Fact[T]:
        self.asked.append(key.name)
        return await super().fact(key)


def found(kept: FakeRemembering, sender: Path | None = None) -> tuple[Reputation, Reputation, list[str]]:
    inquiry = Asked(None, CLIENT, sender=sender, now=kept.now)  # type: ignore[arg-type] # nobody asks the DNS
    of_client, of_sender = (at_once(one.find(inquiry)) for one in lookups(Reputations(kept)))
    assert isinstance(of_client, Known)
    assert isinstance(of_sender, Known)
    return of_client.value, of_sender.value, inquiry.asked


def test_client_and_sender_each_have_theirs() -> None:
    kept = FakeRemembering()
    kept.put(ENTRY, CLIENT, "block anna", 60)
    kept.put(ENTRY, "example.net", "block bob", 60)
    client, sender, asked = found(kept, Path("a", "Example.NET"))
    assert (client.blocked, client.set_by) == (CLIENT, "anna")
    assert (sender.blocked, sender.set_by) == ("example.net", "bob")
    assert asked == []


def test_the_null_sender_has_none() -> None:
    assert found(FakeRemembering(), NULL_PATH)[1:] == (Reputation(), [])
    assert found(FakeRemembering())[1:] == (Reputation(), [])


def test_a_domain_that_is_allowed_must_be_proven() -> None:
    kept = FakeRemembering()
    kept.put(ENTRY, "example.net", "allow bob", 60)
    _, sender, asked = found(kept, Path("a", "example.net"))
    assert (sender.allowed, asked) == ("example.net", ["spf"])
