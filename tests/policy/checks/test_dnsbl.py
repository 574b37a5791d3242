"""Lists of the DNS: what their weights add up to, and when an unknown one matters."""

from typing import Any

import pytest

from smtproxy.policy.checks.dnsbl import CHECK, DnsblOptions, check, dnsbl
from smtproxy.policy.evidence import NOT_CONFIGURED, Unknown
from smtproxy.policy.facts import (
    LISTED_CLIENT,
    LISTED_HELLO,
    LISTED_REVERSE_NAME,
    LISTED_SENDER,
    Key,
    Listed,
    Listings,
)
from smtproxy.policy.findings import CannotTell, Finding, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.facts import told

OPTIONS = DnsblOptions(2.0, {"one": 1.0, "two": 2.0, "good": -3.0})


def on(*names: str, unknown: tuple[str, ...] = (), subject: str = "198.51.100.7") -> Listings:
    return Listings(
        tuple(Listed(name, subject, ("127.0.0.2",)) for name in names), tuple((name, "list_off") for name in unknown)
    )


def judged(facts: dict[Key[Any], object], options: DnsblOptions = OPTIONS) -> Outcome:
    return dnsbl(options, told(Stage.RECIPIENT, facts))


UNKNOWN = CannotTell("listed_client", "list_off")


@pytest.mark.parametrize(
    ("listings", "outcome"),
    [
        (on(), None),
        (on("one"), None),
        (on("two"), 2.0),
        (on("one", "two"), 3.0),
        (on("one", "two", "good"), None),
        (on("other", "one"), None),
        # An unknown list matters only where its weight would make the difference.
        (on(unknown=("one",)), None),
        (on(unknown=("two",)), UNKNOWN),
        (on("one", unknown=("two",)), UNKNOWN),
        (on("two", unknown=("one",)), 2.0),
        (on(unknown=("good",)), None),
        (on("two", unknown=("good",)), UNKNOWN),
        (on("one", unknown=("two", "good")), UNKNOWN),
        (on(unknown=("other",)), None),
    ],
)
def test_sums(listings: Listings, outcome: object) -> None:
    found = judged({LISTED_CLIENT: listings})
    if isinstance(found, Finding):
        assert found.reason is Reason.LISTED
        assert found.points == found.saw["weight"] == outcome
    else:
        assert found == outcome


def test_a_list_counts_once_whatever_it_has() -> None:
    one = on("one", subject="a.test")
    assert judged({LISTED_CLIENT: on("one"), LISTED_HELLO: one, LISTED_SENDER: one, LISTED_REVERSE_NAME: one}) is None


def test_a_list_that_says_something_of_one_subject_is_not_unknown() -> None:
    found = judged({LISTED_CLIENT: on("two"), LISTED_HELLO: on(unknown=("two",))})
    assert isinstance(found, Finding)


def test_the_reply_names_the_lists_and_what_they_have() -> None:
    found = judged(
        {LISTED_CLIENT: on("two"), LISTED_SENDER: on("one", "good", subject="a.test")},
        DnsblOptions(0.0, {**OPTIONS.weights, "good": -1.0}),
    )
    assert isinstance(found, Finding)
    assert found.detail == "two:198.51.100.7,one:a.test"
    assert found.saw["lists"] == {"two": ["127.0.0.2"], "one": ["127.0.0.2"], "good": ["127.0.0.2"]}


def test_a_lookup_that_failed_leaves_its_lists_unknown() -> None:
    assert judged({LISTED_CLIENT: Unknown("timeout")}) == CannotTell("listed_client", "timeout")
    assert judged({LISTED_CLIENT: NOT_CONFIGURED, LISTED_HELLO: NOT_CONFIGURED}) is None
    assert judged({}) is None


def test_nothing_is_looked_up_without_a_list() -> None:
    assert check(DnsblOptions()).needs == ()
    assert check(DnsblOptions(keys=frozenset({LISTED_SENDER, LISTED_CLIENT}))).needs == (LISTED_CLIENT, LISTED_SENDER)


def test_it_believes_lists() -> None:
    assert CHECK.lists
    assert not CHECK.duty
