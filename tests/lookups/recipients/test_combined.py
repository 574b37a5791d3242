"""Sources in their order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from smtproxy.lookups.recipients.combined import Recipients, Scope, said
from smtproxy.lookups.recipients.entries import MISSING, PRESENT
from smtproxy.lookups.recipients.learned import LearnedSettings, LearnedSource
from smtproxy.lookups.recipients.source import Opinion
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.network.inquiry import NotAtHand
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import RECIPIENT, RecipientEntry
from smtproxy.wire.paths import Path

HAS, LACKS, CANNOT = Known(PRESENT), Known(MISSING), Unknown("down")


@dataclass
class Fake:
    """A source with one opinion of everybody."""

    name: str
    opinion: Opinion
    domain: str = ""
    slow: bool = False
    kind: str = "file"
    age: float | None = None
    asked: list[str] = field(default_factory=list)

    def covers(self, domain: str) -> bool:
        return self.domain in ("", domain)

    def at_hand(self, address: Address) -> Opinion:
        if self.slow:
            raise NotAtHand
        return self.opinion

    async def ask(self, address: Address) -> Opinion:
        self.asked.append(str(address))
        return self.opinion

    async def start(self) -> None:
        self.asked.append("start")

    async def run(self) -> None:
        self.asked.append("run")

    async def refresh(self) -> str:
        return "read"

    def forget(self, address: Address) -> bool:
        return self.slow

    def about(self) -> Mapping[str, object]:
        return {"entries": 7, "trouble": ""}


async def find(
    sources: Sequence[Fake], said: str = "anna@example.org", *, quick: bool = True, **scope: object
) -> Fact[RecipientEntry]:
    recipients = Recipients(sources, Spelling(), Scope(**({"domains": {"example.org"}} | scope)))  # type: ignore[arg-type]
    local, _, domain = said.partition("@")
    inquiry: Any = SimpleNamespace(recipient=Path(local, domain), sender=None, quick=quick)
    assert recipients.lookup.key is RECIPIENT
    return await recipients.lookup.find(inquiry)


def by(name: str, *, exists: bool) -> Known[RecipientEntry]:
    return Known(RecipientEntry(exists=exists, source=name))


@pytest.mark.parametrize(
    ("opinions", "found"),
    [
        ((), HAS),
        ((None,), HAS),
        ((HAS,), by("0", exists=True)),
        ((LACKS,), by("0", exists=False)),
        ((LACKS, HAS), by("1", exists=True)),
        ((LACKS, None), by("0", exists=False)),
        ((HAS, LACKS), by("0", exists=True)),
        ((CANNOT, HAS), by("1", exists=True)),
        ((CANNOT, LACKS), Unknown("0: down")),
        ((LACKS, CANNOT), Unknown("1: down")),
    ],
)
async def test_missing_is_only_whom_all_lack(opinions: tuple[Opinion, ...], found: Fact[RecipientEntry]) -> None:
    assert await find([Fake(str(place), opinion) for place, opinion in enumerate(opinions)]) == found


async def test_other_domains_are_nobodys_business() -> None:
    assert await find([Fake("a", LACKS)], "x@example.com") == HAS
    assert await find([Fake("a", LACKS, domain="example.net")]) == HAS
    assert await find([Fake("a", LACKS)], "x@example.com", domains=None) == by("a", exists=False)
    assert await find([Fake("a", LACKS)], "postmaster") == HAS


async def test_catch_all() -> None:
    for opinion in (LACKS, CANNOT):
        assert await find([Fake("a", opinion)], catch_all={"example.org"}) == by("catch_all", exists=True)


async def test_who_has_to_ask_is_asked_in_the_slow_way_alone() -> None:
    slow = Fake("a", HAS, slow=True)
    with pytest.raises(NotAtHand):
        await find([slow])
    assert slow.asked == []
    assert await find([slow], quick=False) == by("a", exists=True)
    assert slow.asked == ["anna@example.org"]


async def test_for_the_administrator() -> None:
    sources = [Fake("a", LACKS), Fake("b", CANNOT, slow=True), Fake("c", HAS, domain="example.net")]
    recipients = Recipients(sources, Spelling(), Scope())
    address = recipients.read("Anna@example.org")
    assert address is not None
    a, b, c, whole = await recipients.explain(address)
    assert a == {"source": "a", "kind": "file", "says": "does not exist", "entries": 7}
    assert (b["says"], b["why"]) == ("cannot tell", "down")
    assert c["says"] == "not asked: it does not cover this domain"
    assert whole == {"source": "all together", "says": "cannot tell", "why": "b: down"}
    assert [row["says"] for row in await recipients.refresh()] == ["read"] * 3
    assert [row["says"] for row in recipients.forget(address)] == ["knew nothing", "forgotten", "knew nothing"]
    await recipients.start()
    await recipients.run()
    assert sources[0].asked == ["start", "run"]


def test_words() -> None:
    assert said(None) == {"says": "no opinion"}
    entry = RecipientEntry(exists=True, source="a", size_limit=5)
    assert said(Known(entry)) == {"says": "exists", "by": "a", "size_limit": 5}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("other", "exists"), [(HAS, True), (LACKS, False), (CANNOT, None), (None, False)])
async def test_what_was_learned_never_overrules_another_source(
    first: bool, other: Opinion, exists: bool | None
) -> None:
    learned = LearnedSource(LearnedSettings("learned"), Spelling(), lambda: 0.0)
    made = Fake("file", other)
    known = Recipients([learned, made] if first else [made, learned], Spelling(), Scope())
    known.heard(
        {
            "client": "192.0.2.1",
            "sender": "a@sender.example",
            "recipients": [{"to": "user@example.org", "reply": "550 5.1.1 no", "by": "backend"}],
            "recipients_total": 1,
            "recipients_accepted": 0,
            "by": "backend",
            "reply": "550 5.1.1 no",
        }
    )
    fact = await known.about(Address("user", "example.org"))
    assert (fact.value.exists if isinstance(fact, Known) else None) is exists


@pytest.mark.parametrize(
    ("sender", "allowed", "denied"),
    [
        ("p7@example.org", ("p7@example.org",), ()),
        ("x@example.net", ("p0@example.org", "p1@example.org", "p2@example.org"), ("x@example.net",)),
        ("y@example.net", ("p0@example.org", "p1@example.org", "p2@example.org"), ()),
    ],
)
async def test_of_long_lists_of_senders_only_what_concerns_this_one_is_told(
    sender: str, allowed: tuple[str, ...], denied: tuple[str, ...]
) -> None:
    """50 recipients with 5,000 senders each were 6 MB in one line of the log."""
    everybody = tuple(f"p{number}@example.org" for number in range(5000))
    entry = RecipientEntry(exists=True, allowed_senders=everybody, denied_senders=("x@example.net",))
    source = Fake("file", Known(entry))
    made = Recipients([source], Spelling(), Scope(None))
    local, _, domain = sender.partition("@")
    inquiry = SimpleNamespace(recipient=Path("all", "example.org"), sender=Path(local, domain), quick=True)
    fact = await made.lookup.find(inquiry)
    assert isinstance(fact, Known)
    assert (fact.value.allowed_senders, fact.value.denied_senders) == (allowed, denied)
