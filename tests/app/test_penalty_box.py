"""What an administrator sees and sets, over a store in memory."""

from dataclasses import replace

import pytest
import trio

from smtproxy.app.penalty_box import PenaltyBox, counted_as, key_of
from smtproxy.lookups.rate_limits import RateLimits
from smtproxy.policy.acquaintances import Acquaintances
from smtproxy.policy.rate_limits import Of, Per, RateLimit, Subject
from smtproxy.policy.reputation import BALANCED, MOMENT, PENALTY, Entry, Reputations, ReputationSettings, moment
from smtproxy.stores.at_hand import AtHand
from tests.fakes.clock import START, FakeClock
from tests.stores.tables import memory_store

CLIENT, DAY = "192.0.2.1", 86400.0
REFUSED = {"outcome": "rejected", "by": "spf", "recipients": []}


class Case:
    """A worker's store, what is learned into it, and the box that is asked."""

    def __init__(self, secret: bytes | None = None, *limits: RateLimit) -> None:
        self.clock = FakeClock()
        here = memory_store(clock=self.clock)
        self.kept = AtHand(here, here, secret, lambda work: work)
        self.known = Reputations(self.kept, ReputationSettings(threshold=3.0, penalty=100.0))
        self.limits = RateLimits(limits, here, secret)
        self.box = PenaltyBox(self.kept, ("dnsbl", "spf"), self.clock, self.limits)

    def ask(self, *question: str) -> list[str]:
        rows = trio.run(self.box.answer, question)
        return [" ".join([str(row["says"]), *(f"{a}={b}" for a, b in row.items() if a != "says")]) for row in rows]


def test_what_is_set_is_seen_and_lifted() -> None:
    case, until = Case(), moment(START + DAY)
    assert case.ask("show", CLIENT) == [f"nothing is known of {CLIENT}"]
    assert case.ask("show", "") == ["nobody is blocked or allowed"]
    assert case.ask("block", CLIENT, str(DAY), "anna", "a bad lot") == [
        f"{CLIENT}: blocked by anna (a bad lot) until {until}"
    ]
    assert case.known.of_client(CLIENT, START).blocked == CLIENT
    assert case.ask("show", CLIENT)[0] == f"blocked by anna (a bad lot) since {moment(START)} until {until}"
    assert case.ask("show", "") == [f"{CLIENT}: blocked by anna (a bad lot) until {until}"]
    assert case.ask("allow", CLIENT, "60", "bob", "") == [f"{CLIENT}: allowed by bob until {moment(START + 60)}"]
    assert case.known.of_client(CLIENT, START).blocked == ""
    assert case.ask("forgive", CLIENT) == [f"{CLIENT}: allowed by bob lifted"]
    assert case.ask("forgive", CLIENT) == [f"{CLIENT}: there was nothing to be lifted"]
    assert case.known.of_client(CLIENT, START).allowed == ""


def test_what_was_learned_is_seen_with_its_reasons_and_forgiven() -> None:
    case = Case()
    Acquaintances(case.kept).delivered("198.51.100.1", ())
    told = [case.known.ended(CLIENT, (), REFUSED, START) for _ in range(3)]
    assert [one is not None for one in told] == [False, False, True]
    assert case.known.of_client(CLIENT, START).penalty == "3 refused"
    until = moment(START + 100)
    assert case.ask("show", CLIENT) == [
        f"in the penalty box since {moment(START)} until {until}, for 3 refused; 1 times lately",
        f"seen first {moment(START)}",
        f"counted for {CLIENT}, fading refused=3.0 badness=3.0 refused by spf=3.0",
    ]
    assert case.ask("show", "") == [f"{CLIENT}: penalty for 3 refused until {until}"]
    assert case.ask("forgive", CLIENT) == [f"{CLIENT}: penalty, what it was refused for lifted"]
    assert case.ask("show", CLIENT) == [f"seen first {moment(START)}"]
    assert not case.kept.marked(PENALTY, CLIENT)
    assert case.ask("show", "198.51.100.1") == ["counted for 198.51.100.1, fading delivered=1.0"]


HARVEST = RateLimit("harvest", Per.CLIENT, Of.UNKNOWN_RECIPIENTS, 60, 3600.0, 2)


@pytest.mark.parametrize("secret", [None, b"secret"])
def test_what_limits_have_counted_is_seen_and_given_back(secret: bytes | None) -> None:
    case = Case(secret, HARVEST, replace(HARVEST, name="all", per=Per.ALL))
    subject = Subject("2001:db8::7", "mx", None, None, {})
    for _ in range(2):
        case.limits.charge(Of.UNKNOWN_RECIPIENTS, subject, 1)
    name = "2001:db8::/64"
    (first, *others) = case.ask("show", "")
    assert first.endswith(": limit harvest is exceeded")
    assert first.startswith("~" if secret else name)
    assert [one.partition(": ")[2] for one in others] == ["limit all is exceeded"]
    assert others[0].startswith("~" if secret else "all together")
    for said in ("2001:db8::9", name, first.partition(": limit")[0]):
        (line,) = [line for line in case.ask("show", said) if line.startswith("limit")]
        assert line == "limit harvest: 0 of 2 left: exceeded, lets one through again in 60 s"
    assert case.ask("show", "2001:db9::1") == ["nothing is known of 2001:db9::1"]
    assert case.ask("forgive", "2001:db8::9") == ["2001:db8::9: limit harvest lifted"]
    assert "harvest" not in " ".join(case.ask("show", ""))


def test_a_reputation_is_read_anew_after_a_moment_or_when_somebody_has_changed_it() -> None:
    case, others = Case(), Case()
    others.known = Reputations(case.kept, ReputationSettings(threshold=3.0, penalty=100.0))  # another worker's
    first = case.known.of_client(CLIENT, START)
    assert case.known.of_client(CLIENT, START + MOMENT / 2) is first
    others.known.ended(CLIENT, (), REFUSED, START)
    assert case.known.of_client(CLIENT, START + MOMENT / 2) is first, "another worker's counts are known in a moment"
    assert case.known.of_client(CLIENT, START + MOMENT).refused == 1.0
    case.known.ended(CLIENT, (), REFUSED, START)
    assert case.known.of_client(CLIENT, START + MOMENT).refused == 2.0, "what is learned here is known at once"
    domain = case.known.of_domain("example.net", START)
    assert case.known.of_domain("example.net", START) is domain
    case.ask("block", "example.net", "60", "anna", "")
    assert case.known.of_domain("example.net", START).blocked == "example.net", "what a person says holds at once"
    case.ask("forgive", "example.net")
    assert case.known.of_domain("example.net", START).blocked == ""


class FakeKernel:
    """A kernel that refuses one client."""

    told = 0

    def said(self) -> None:
        self.told += 1

    async def of(self, key: str) -> str:
        return "refused by the kernel, too" if key == CLIENT else ""

    async def words(self) -> str:
        return "1 refused by the kernel"


def test_the_kernel_hears_of_what_changes_and_is_shown() -> None:
    case, kernel = Case(), FakeKernel()
    case.box = PenaltyBox(case.kept, (), case.clock, kernel=kernel)
    for at, question in enumerate(
        (("block", CLIENT, "60", "anna", ""), ("forgive", CLIENT), ("allow", CLIENT, "60", "bob", ""))
    ):
        case.ask(*question)
        assert kernel.told == at + 1
    assert "refused by the kernel, too" in case.ask("show", CLIENT)
    assert "refused by the kernel, too" not in case.ask("show", "192.0.2.2")
    assert case.ask("show", "")[-1] == "1 refused by the kernel"
    assert kernel.told == 3


def test_a_penalty_that_is_forgiven_is_not_one_behind_a_balancer_any_more() -> None:
    case = Case()
    *_, told = [case.known.ended(CLIENT, (), REFUSED, START) for _ in range(3)]
    assert told is not None
    case.known.came_through_balancer(told)
    assert case.kept.marked(BALANCED, CLIENT)
    assert case.ask("forgive", CLIENT) == [f"{CLIENT}: penalty, what it was refused for lifted"]
    assert not case.kept.marked(BALANCED, CLIENT)


def test_names_that_are_not_said_can_be_shown_and_lifted() -> None:
    case = Case(b"secret")
    case.ask("block", "example.net", "60", "anna", "")
    (said,) = case.ask("show", "")
    name = said.partition(":")[0]
    assert name.startswith("~")
    assert "blocked by anna" in case.ask("show", "example.net")[0]
    assert "blocked by anna" in case.ask("show", name)[0]
    assert case.ask("forgive", name) == [f"{name}: blocked by anna lifted"]
    assert case.known.of_domain("example.net", START).blocked == ""


@pytest.mark.parametrize(
    "question",
    [
        ("block", CLIENT),
        ("block", CLIENT, "60", "anna", "x" * 64),
        ("block", CLIENT, "60", "two words", ""),
        ("block", CLIENT, "soon", "anna", ""),
        ("drop", CLIENT, "60", "anna", ""),
        ("block", "nonsense", "60", "anna", ""),
        ("forgive", ""),
    ],
)
def test_what_is_no_question(question: tuple[str, ...]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        Case().ask(*question)


def test_a_store_that_is_full_of_entries_says_so() -> None:
    case = Case()
    said = [case.box.set(f"192.0.2.{number}", Entry("block", "anna", ""), DAY) for number in range(255)]
    assert any("could not be kept" in one for one in said)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("192.0.2.77/24", "192.0.2.0/24"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("2001:db8::1/64", "2001:db8::/64"),
        ("Example.NET.", "example.net"),
        ("@example.net", "example.net"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("~1f2e", "~1f2e"),
    ],
)
def test_keys(text: str, key: str) -> None:
    assert key_of(text) == key


@pytest.mark.parametrize("text", ["", "x", "a@example.net", "a b.example", "192.0.2.0/23", "2001:db8::/63", "a..b"])
def test_no_keys(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither an address|networks can be"):
        key_of(text)


def test_of_an_address_of_ipv6_its_network_is_counted() -> None:
    assert [counted_as(one) for one in ("2001:db8::1", "192.0.2.1", "192.0.2.0/24", "example.net")] == [
        "2001:db8::/64",
        "192.0.2.1",
        "192.0.2.0/24",
        "example.net",
    ]
