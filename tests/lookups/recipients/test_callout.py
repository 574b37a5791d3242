"""What the backend's replies to a call-out mean, and what is remembered of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from smtproxy.lookups.recipients import callout
from smtproxy.lookups.recipients.callout import STALE, CalloutSettings, CalloutSource
from smtproxy.lookups.recipients.entries import MISSING, PRESENT
from smtproxy.lookups.recipients.source import Opinion
from smtproxy.lookups.recipients.spelling import Address
from smtproxy.network.callout import CalloutError
from smtproxy.network.inquiry import NotAtHand
from smtproxy.policy.evidence import Known, Unknown
from smtproxy.session.records import Event
from smtproxy.wire.paths import Path
from smtproxy.wire.replies import Reply
from tests.fakes.journal import FakeJournal

ANNA, BOB = Address("anna", "example.org"), Address("bob", "example.org")
EXISTS, LACKS, FULL = Known(PRESENT), Known(MISSING), Known(replace(PRESENT, over_quota=True))
OK, NO = "250 2.1.5 OK", "550 5.1.1 no such user"
SETTINGS = CalloutSettings("hub", "backend", frozenset({"example.org"}), 8, 3600, 300)


class Backend:
    """A server with these recipients, and a source that asks it."""

    def __init__(self, *recipients: str, otherwise: str = NO) -> None:
        self.now = 1e9
        self.replies = dict.fromkeys(recipients, OK)
        self.otherwise = otherwise
        self.down = ""
        self.asked: list[list[str]] = []
        self.runs = False
        self.journal = FakeJournal()
        self.source = CalloutSource(SETTINGS, self.journal, lambda: self.now, self)

    async def ask(self, recipients: Sequence[Path], due: float) -> list[Reply]:
        self.asked.append(["random" if "no-such" in one.local else one.local for one in recipients])
        if self.down:
            raise CalloutError(self.down)
        said = [self.replies.get(one.local, self.otherwise).split(" ", 1) for one in recipients]
        return [Reply(int(code), (text.encode(),)) for code, text in said]

    async def run(self) -> None:
        self.runs = True

    async def opinion(self, address: Address = ANNA) -> Opinion:
        """Ask as the lookup does."""
        try:
            return self.source.at_hand(address)
        except NotAtHand:
            return await self.source.ask(address)


async def test_the_backend_knows() -> None:
    backend = Backend("anna")
    assert await backend.opinion() == EXISTS
    assert await backend.opinion(BOB) == LACKS
    assert backend.asked == [["anna", "random"], ["bob"]]


async def test_it_is_remembered_each_for_its_time() -> None:
    backend = Backend("anna")
    await backend.opinion()
    await backend.opinion(BOB)
    backend.replies = {"bob": OK}
    for passed, asked, anna, bob in ((299, 2, EXISTS, LACKS), (301, 3, EXISTS, EXISTS), (3601, 4, LACKS, EXISTS)):
        backend.now = 1e9 + passed
        assert (await backend.opinion(), await backend.opinion(BOB)) == (anna, bob)
        assert len(backend.asked) == asked


@pytest.mark.parametrize(
    ("reply", "opinion", "remembered"),
    [
        ("250 OK", EXISTS, True),
        ("251 2.1.5 will forward", EXISTS, True),
        (NO, LACKS, True),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found", LACKS, True),
        ("553 5.1.1 no", LACKS, True),
        ("550 5.7.1 relaying denied", None, False),
        ("550 5.7.54 unable to relay", None, False),
        ("554 no", None, False),
        ("552 5.2.2 full", FULL, False),
        ("452 4.2.2 full", FULL, False),
        ("450 4.2.0 busy", Unknown("450 4.2.0 busy"), False),
        ("451 4.1.1 not now", Unknown("451 4.1.1 not now"), False),
        ("503 5.5.1 bad sequence", Unknown("503 5.5.1 bad sequence"), False),
        ("530 5.7.1 authenticate", Unknown("530 5.7.1 authenticate"), False),
    ],
)
async def test_what_a_reply_means(reply: str, opinion: Opinion, remembered: bool) -> None:
    backend = Backend("postmaster")
    backend.replies["anna"] = reply
    assert await backend.opinion() == opinion
    assert await backend.opinion() == opinion
    assert len(backend.asked) == 1 if remembered else 2
    assert bool(backend.journal.of(Event.RECIPIENTS_FAILED)) == isinstance(opinion, Unknown)


class TestA550WithoutEnhancedCode:
    async def test_counts_where_somebody_else_is_taken(self) -> None:
        backend = Backend("postmaster", otherwise="550 no such user")
        assert await backend.opinion() == LACKS
        assert backend.asked == [["anna", "random"], ["postmaster"]]
        assert await backend.opinion(BOB) == LACKS
        assert backend.asked[2:] == [["bob"]]

    async def test_counts_behind_one_that_exists(self) -> None:
        backend = Backend("anna", otherwise="550 no such user")
        assert [await backend.opinion(), await backend.opinion(BOB)] == [EXISTS, LACKS]
        assert backend.asked == [["anna", "random"], ["bob"]]

    async def test_may_be_about_the_null_sender(self) -> None:
        """A server that takes no bounces says it to everybody: all mail would be lost."""
        backend = Backend(otherwise="550 we take no bounces")
        assert await backend.opinion() is None
        assert await backend.opinion() is None
        assert backend.journal.lines == []


class TestAServerThatTakesAnybody:
    async def test_says_nothing_of_anybody(self) -> None:
        backend = Backend(otherwise=OK)
        assert await backend.opinion() is None
        assert await backend.opinion(BOB) is None
        assert backend.asked == [["anna", "random"]]
        line = backend.journal.one(Event.BACKEND_ACCEPTS_ALL)
        assert line == {"backend": "backend", "domain": "example.org", "reply": OK, "source": "hub"}
        assert backend.source.about()["takes_everybody_in"] == "example.org"

    async def test_is_asked_again_and_the_log_hears_of_a_change_alone(self) -> None:
        backend = Backend(otherwise=OK)
        for opinion, otherwise in ((None, OK), (None, OK), (EXISTS, NO), (None, OK)):
            backend.otherwise, backend.replies = otherwise, {"anna": OK}
            assert await backend.opinion() == opinion
            backend.now += 3601
        assert len(backend.journal.of(Event.BACKEND_ACCEPTS_ALL)) == 2

    @pytest.mark.parametrize("reply", ["450 4.7.1 greylisted", "503 5.5.1 bad sequence"])
    async def test_a_reply_that_says_nothing(self, reply: str) -> None:
        backend = Backend("anna", "bob", otherwise=reply)
        assert [await backend.opinion(), await backend.opinion(BOB)] == [EXISTS, EXISTS]
        assert backend.asked == [["anna", "random"], ["bob", "random"]]

    async def test_no_more_domains_than_are_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(callout, "MOST_DOMAINS", 2)
        backend = Backend(otherwise=OK)
        for number in range(4):
            await backend.opinion(Address("anna", f"{number}.example"))
        assert backend.source.about()["takes_everybody_in"] == "2.example, 3.example"


class TestABackendThatCannotBeAsked:
    async def test_is_said_once_for_each_reason(self) -> None:
        backend = Backend("anna")
        for reason in ("down", "down", "late"):
            backend.down = reason
            assert await backend.opinion() == Unknown(reason)
        assert [line["reason"] for line in backend.journal.of(Event.RECIPIENTS_FAILED)] == ["down", "late"]
        assert backend.source.about()["trouble"] == "late"
        backend.down = ""
        assert await backend.opinion() == EXISTS
        assert backend.source.about()["trouble"] == ""

    async def test_who_existed_yesterday_exists(self) -> None:
        backend = Backend("anna")
        assert [await backend.opinion(), await backend.opinion(BOB)] == [EXISTS, LACKS]
        backend.down = "down"
        backend.now += STALE - 1
        assert [await backend.opinion(), await backend.opinion(BOB)] == [EXISTS, Unknown("down")]
        backend.now += 1
        assert await backend.opinion() == Unknown("down")


async def test_an_address_that_cannot_be_said() -> None:
    backend = Backend("anna")
    assert await backend.opinion(Address("a\r\nRCPT TO:<b", "example.org")) == Unknown(
        "an address that cannot be asked for"
    )
    assert backend.asked == []


@pytest.mark.parametrize(
    ("mend", "asked"),
    [
        (lambda source: source.forget(ANNA), [["anna", "random"]]),
        (lambda source: source.forget(BOB), []),
    ],
)
async def test_forgetting(mend: Callable[[CalloutSource], bool], asked: list[list[str]]) -> None:
    backend = Backend("anna")
    other = Address("bob", "example.net")
    await backend.opinion()
    assert not backend.source.forget(other)
    assert mend(backend.source)
    backend.asked.clear()
    await backend.opinion()
    assert backend.asked == asked


async def test_refreshing_forgets_everything() -> None:
    backend = Backend("anna")
    await backend.opinion()
    assert await backend.source.refresh() == "forgot 1 addresses"
    await backend.opinion()
    assert backend.asked == [["anna", "random"]] * 2


async def test_the_source_itself() -> None:
    backend = Backend()
    await backend.source.start()
    await backend.source.run()
    assert backend.runs
    assert (backend.source.name, backend.source.kind, backend.source.age) == ("hub", "callout", None)
    assert backend.source.covers("example.org")
    assert not backend.source.covers("example.net")


async def test_where_no_session_is_the_backend_is_left_alone() -> None:
    source = CalloutSource(SETTINGS, FakeJournal(), lambda: 1e9, None)
    await source.run()
    assert source.at_hand(ANNA) is None
    assert await source.ask(ANNA) is None
    assert source.about()["trouble"] == "only running workers ask the backend"
