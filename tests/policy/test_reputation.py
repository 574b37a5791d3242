"""What is learned of clients and domains, what a person has set, and who goes to the penalty box for how long."""

from collections.abc import Mapping
from typing import Any

import pytest

from smtproxy.policy.acquaintances import Acquaintances
from smtproxy.policy.facts import Reputation
from smtproxy.policy.reputation import (
    BAD_LASTS,
    ENTRY,
    HARVEST,
    MOST_UNKNOWN,
    NEW_LASTS,
    SEEN_LASTS,
    Entry,
    Penalty,
    Reputations,
    ReputationSettings,
    domains_above,
    entry_names,
    entry_of,
    moment,
)
from tests.fakes.remembering import FakeRemembering

CLIENT, NEIGHBOUR = "192.0.2.1", "192.0.2.9"
DAY = 86400.0
SETTINGS = ReputationSettings(threshold=5.0, penalty=100.0, longest=350.0)


def message(outcome: str = "rejected", by: str = "spf", unknown: int = 0, *, said: str = "") -> Mapping[str, Any]:
    """The fields of a line that are looked at."""
    reply = said or "550 5.1.1 No such mailbox here"
    nobody = {"to": "x@example.org", "reply": reply, "by": "recipients"}
    known = {"to": "u@example.org", "reply": "250 2.1.5 OK", "by": "backend"}
    return {"outcome": outcome, "by": by, "recipients": [known, *[nobody] * unknown]}


class Case:
    """Reputations over a memory that the test moves in time."""

    def __init__(self, settings: ReputationSettings | None = SETTINGS) -> None:
        self.kept = FakeRemembering()
        self.known = Reputations(self.kept, settings)

    def of(self, client: str = CLIENT) -> Reputation:
        return self.known.of_client(client, self.kept.now)

    def bad(self, times: int, client: str = CLIENT) -> list[Penalty]:
        """Refuse so many mails of a client."""
        told = [self.known.ended(client, (), message(), self.kept.now) for _ in range(times)]
        return [one for one in told if one is not None]


def test_a_new_client_is_neither_good_nor_bad_and_grows_older() -> None:
    case = Case()
    assert case.of() == Reputation()
    case.kept.now += 60
    assert case.of() == Reputation(age=60.0)
    case.kept.now += NEW_LASTS - 100
    assert case.of().age == NEW_LASTS - 40
    case.kept.now += NEW_LASTS - 100  # it came meanwhile, so it is still known
    assert case.of().age == 2 * NEW_LASTS - 140
    case.kept.now += NEW_LASTS + 1
    assert case.of().age is None


def test_who_had_mail_delivered_is_known_for_longer() -> None:
    case = Case()
    case.of()
    Acquaintances(case.kept).delivered(CLIENT, ())
    case.kept.now += 60
    assert case.of().age == 60
    case.kept.now += SEEN_LASTS - 10
    assert case.of().age == SEEN_LASTS + 50


def test_bad_conduct_is_counted_and_fades() -> None:
    case = Case(None)
    case.known.ended(CLIENT, ("example.net",), message(unknown=HARVEST), case.kept.now)
    case.known.refused(CLIENT, "dnsbl")
    case.known.talked_early(CLIENT)
    known = case.of()
    assert (known.refused, known.unknown_recipients, known.harvests, known.early_talks) == (2, HARVEST, 1, 1)
    assert known.badness == 2 + HARVEST + 5 + 1
    domain = case.known.of_domain("example.net", case.kept.now)
    assert (domain.refused, domain.unknown_recipients, domain.early_talks) == (1, HARVEST, 0)
    case.kept.now += BAD_LASTS
    assert case.of().refused == 1
    assert case.of(NEIGHBOUR).refused == 0
    assert case.kept.count("refused", "192.0.2.0/24", BAD_LASTS) == 1
    assert case.kept.count("refused.spf", CLIENT, BAD_LASTS) == 0.5


@pytest.mark.parametrize(
    ("fields", "badness"),
    [
        (message("delivered", "backend"), 0),
        (message("deferred"), 0),
        (message("rejected", "backend"), 0),
        (message("rejected", "blocked"), 0),
        (message("rejected", "reputation"), 0),
        (message("rejected", "size"), 0),
        (message("rejected", "recipients", 1), 1),
        (message("rejected", "recipient_domain"), 1),
        (message("rejected", "score"), 1),
        (message("aborted", "client", 1, said="550 5.1.10 RESOLVER.ADR.RecipientNotFound"), 1),
        (message("aborted", "client", 1, said="450 4.1.1 later"), 0),
        (message("aborted", "client", 1, said="550 5.7.1 not you"), 0),
        (message("aborted", "client", 100), MOST_UNKNOWN + 5),
    ],
)
def test_what_is_bad(fields: Mapping[str, Any], badness: float) -> None:
    case = Case(None)
    case.known.ended(CLIENT, (), fields, case.kept.now)
    assert case.of().badness == badness


@pytest.mark.parametrize("by", ["blocked", "reputation", "quotas"])
def test_who_is_refused_for_his_reputation_has_none_the_worse_for_it(by: str) -> None:
    case = Case()
    assert [case.known.refused(CLIENT, by) for _ in range(9)] == [None] * 9
    assert case.of().badness == 0


def test_who_is_refused_again_and_again_goes_to_the_box_each_time_for_longer() -> None:
    case = Case()
    assert case.bad(4) == []
    assert not case.of().known_bad
    assert case.bad(1) == [Penalty(CLIENT, "5 refused", 100.0)]
    known = case.of()
    assert (known.penalty, known.penalty_until, known.known_bad) == ("5 refused", moment(case.kept.now + 100), True)
    assert case.bad(3) == []
    for seconds in (200.0, 350.0, 350.0):
        case.kept.now += 350.0
        assert case.of().penalty == ""
        assert [one.seconds for one in case.bad(1)] == [seconds]
    assert case.of(NEIGHBOUR).penalty == ""


@pytest.mark.parametrize("client", [CLIENT, NEIGHBOUR])
def test_who_ever_had_a_mail_delivered_does_not_go_there(client: str) -> None:
    case = Case()
    Acquaintances(case.kept).delivered(client, ())
    assert case.bad(20) == []
    assert case.of().known_bad


def test_without_settings_nobody_does() -> None:
    case = Case(None)
    assert case.bad(100) == []
    assert not case.of().known_bad


def test_of_ipv6_a_network_is_one_client() -> None:
    case = Case()
    told = case.bad(3, "2001:db8::1") + case.bad(2, "2001:db8::2")
    assert [one.client for one in told] == ["2001:db8::/64"]
    assert case.kept.count("refused", "2001:db8::/64", BAD_LASTS) == 5


def test_a_client_that_nobody_named_has_no_reputation() -> None:
    case = Case()
    assert case.bad(9, "") == []
    assert case.of("") == Reputation()


def test_a_good_history_makes_known_good_unless_it_is_known_bad() -> None:
    case = Case(None)
    for _ in range(3):
        Acquaintances(case.kept).delivered(NEIGHBOUR, ("example.net",))
    assert case.of().known_good
    assert case.of().delivered == 0
    assert case.known.of_domain("example.net", case.kept.now).known_good
    case.kept.put(ENTRY, CLIENT, "block anna", DAY)
    assert not case.of().known_good


def test_what_a_person_has_set_counts_for_those_within() -> None:
    case = Case()
    until = moment(case.kept.now + DAY)
    case.kept.put(ENTRY, "192.0.2.0/24", Entry("block", "anna", "a bad lot").written(), DAY)
    assert case.of() == Reputation(
        known_bad=True, blocked="192.0.2.0/24", set_by="anna", reason="a bad lot", until=until
    )
    case.kept.put(ENTRY, "192.0.0.0/16", "allow bob", 2 * DAY)
    known = case.of()
    assert (known.blocked, known.allowed, known.set_by, known.reason) == ("192.0.2.0/24", "192.0.0.0/16", "bob", "")
    assert (known.known_bad, known.until) == (False, moment(case.kept.now + 2 * DAY))
    assert case.of("198.51.100.1") == Reputation()
    case.kept.put(ENTRY, "example.net", "block anna", DAY)
    assert case.known.of_domain("a.example.net", case.kept.now).blocked == "example.net"
    assert case.known.of_domain("badexample.net", case.kept.now).blocked == ""


def test_a_domain_that_is_only_named_is_not_kept() -> None:
    case = Case()
    case.known.of_domain("example.net", case.kept.now)
    assert case.kept.marks == {}
    case.known.ended("", ("example.net",), message(), case.kept.now)
    assert case.kept.marks == {}
    case.known.ended("", ("example.net",), message("delivered", "backend"), case.kept.now)
    case.kept.now += 5
    assert case.known.of_domain("example.net", case.kept.now).age == 5


@pytest.mark.parametrize(
    ("client", "names"),
    [
        ("192.0.2.1", ("192.0.2.1", "192.0.2.0/24", "192.0.0.0/16", "192.0.0.0/8")),
        ("::ffff:192.0.2.1", ("192.0.2.1", "192.0.2.0/24", "192.0.0.0/16", "192.0.0.0/8")),
        ("2001:db8:1:2::3", ("2001:db8:1:2::3", "2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8::/32")),
        ("::1", ("::1", "::/64", "::/48", "::/32")),
    ],
)
def test_under_which_names_an_entry_is_looked_for(client: str, names: tuple[str, ...]) -> None:
    assert entry_names(client) == names


@pytest.mark.parametrize(
    ("domain", "names"),
    [
        ("example.net", ("example.net",)),
        ("a.b.example.net", ("a.b.example.net", "b.example.net", "example.net")),
        ("net", ("net",)),
        ("8.7.6.5.4.3.2.example.net", ("8.7.6.5.4.3.2.example.net", *domains_above("5.4.3.2.example.net"))),
    ],
)
def test_domains_above(domain: str, names: tuple[str, ...]) -> None:
    assert domains_above(domain) == names


@pytest.mark.parametrize("entry", [Entry("block", "anna", ""), Entry("allow", "bob", "a reason of words")])
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    assert entry_of(entry.written()) == entry
