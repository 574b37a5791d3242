"""The fact `greylist`: by what a sender is known, and where several machines share what they know."""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from smtproxy.lookups.greylist import Forgetful, Greylisted
from smtproxy.network.inquiry import NotAtHand
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import Greylist, ReverseName, Spf
from smtproxy.policy.greylist import GOOD_RECORD, PASSED, GreylistMemory, Windows
from smtproxy.wire.paths import Path
from tests.fakes.texts import FakeTexts
from tests.lookups.inquiries import FakeInquiry

NOW = 1e9


@dataclass
class Quick(FakeInquiry):
    """Asked from memory alone."""

    @property
    def quick(self) -> bool:
        return True


def _nobody(_client: str, _domains: Iterable[str]) -> bool:
    return False


def _inquiry(kind: type[FakeInquiry] = FakeInquiry, *, client: str = "198.51.100.7", spf: str = "none") -> FakeInquiry:
    facts: dict[str, Fact[object]] = {
        "spf": Known(Spf(spf, "b.example.net")),
        "reverse_name": Known(ReverseName(("mx.example.co.uk",), "mx.example.co.uk")),
    }
    return kind(None, client, "", Path("a", "b.example.net"), Path("x", "example.org"), NOW, facts)  # type: ignore[arg-type]


def _greylisted(shelf: FakeTexts) -> Greylisted:
    return Greylisted(GreylistMemory(shelf, Windows()), shelf, _nobody)


@pytest.mark.parametrize(("spf", "key"), [("pass", "example.net"), ("fail", "example.co.uk")])
async def test_who_it_is(spf: str, key: str) -> None:
    assert await _greylisted(FakeTexts()).find(_inquiry(spf=spf)) == Known(Greylist(key))


async def test_what_is_not_known_is_not_used() -> None:
    asked = _inquiry()
    asked.facts.clear()
    assert await _greylisted(FakeTexts()).find(asked) == Known(Greylist("198.51.100.0/24"))


async def test_a_client_that_its_balancer_did_not_say() -> None:
    asked = _inquiry(client="unknown")
    asked.facts.clear()
    assert await _greylisted(FakeTexts()).find(asked) == Unknown("no_client")


async def test_without_a_recipient_there_is_nothing_to_know() -> None:
    asked = _inquiry()
    asked.recipient = None
    assert await _greylisted(FakeTexts()).find(asked) == Unknown("no_recipient")


async def test_since_when() -> None:
    shelf = FakeTexts()
    shelf.put("grey-first", "example.co.uk a@b.example.net example.org", f"{NOW - 90:.1f}", 1e6)
    assert await _greylisted(shelf).find(_inquiry()) == Known(Greylist("example.co.uk", 90.0))


async def test_a_good_record_is_asked_about_the_client_and_what_it_has_proven() -> None:
    asked: list[tuple[str, list[str]]] = []

    def good(client: str, domains: Iterable[str]) -> bool:
        asked.append((client, list(domains)))
        return True

    found = Greylisted(GreylistMemory(FakeTexts(), Windows()), FakeTexts(), good)
    assert await found.find(_inquiry(spf="pass")) == Known(Greylist("example.net", None, GOOD_RECORD))
    await found.find(_inquiry(spf="fail"))
    assert asked == [("198.51.100.7", ["b.example.net"]), ("198.51.100.7", [])]


class TestSeveralMachines:
    async def test_a_stranger_is_asked_about(self) -> None:
        shelf = FakeTexts(shared=True, elsewhere={("grey-pass", "example.co.uk"): f"{NOW - 5:.1f}"})
        assert await _greylisted(shelf).find(_inquiry()) == Known(Greylist("example.co.uk", None, PASSED))
        assert await _greylisted(shelf).find(_inquiry(Quick)) == Known(Greylist("example.co.uk", None, PASSED))

    async def test_that_takes_time_which_the_quick_way_has_not(self) -> None:
        shelf = FakeTexts(shared=True)
        with pytest.raises(NotAtHand):
            await _greylisted(shelf).find(_inquiry(Quick))
        assert shelf.asked == []

    async def test_who_is_known_here_is_not_asked_about(self) -> None:
        shelf = FakeTexts(shared=True)
        shelf.put("grey-pass", "example.co.uk", f"{NOW:.1f}", 1e6)
        await _greylisted(shelf).find(_inquiry())
        assert shelf.asked == []

    async def test_one_machine_asks_nobody(self) -> None:
        shelf = FakeTexts()
        await _greylisted(shelf).find(_inquiry(Quick))
        assert shelf.asked == []


async def test_who_forgets_everything_knows_nobody() -> None:
    shelf = Forgetful()
    shelf.put("grey-pass", "example.co.uk", f"{NOW:.1f}", 1e6)
    await shelf.bring("grey-pass", "example.co.uk", 1e6)
    found = Greylisted(GreylistMemory(shelf, Windows()), shelf, _nobody)
    assert await found.find(_inquiry()) == Known(Greylist("example.co.uk"))
