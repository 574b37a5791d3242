"""What stands between us and an open relay. The published tricks are in here by name."""

import pytest

from smtproxy.policy.checks.recipient_domain import CHECK, RecipientDomainOptions, recipient_domain
from smtproxy.policy.findings import Action
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from smtproxy.wire.paths import domain_key
from tests.policy.facts import nothing, rcpt

_OURS = RecipientDomainOptions(frozenset({"example.org", domain_key("bücher.example")}))


@pytest.mark.parametrize(
    "address",
    [
        "user@example.org",
        "User@EXAMPLE.ORG",
        "user@example.org.",
        '"a b"@example.org',
        "postmaster",
        "POSTMASTER",
        "user@bücher.example",
        "user@xn--bcher-kva.example",
        "IMCEAEX-_O=ORG_OU=X@example.org",
        "user+tag@example.org",
    ],
)
def test_ours_are_taken(address: str) -> None:
    assert recipient_domain(_OURS, rcpt(address)) is None


@pytest.mark.parametrize(
    "address",
    ["user@elsewhere.example", "user@example.org.elsewhere.example", "user@sub.example.org", "user@[192.0.2.1]"],
)
def test_others_are_not(address: str) -> None:
    finding = recipient_domain(_OURS, rcpt(address))
    assert finding is not None
    assert (finding.reason, finding.action) == (Reason.FOREIGN_RECIPIENT, Action.REJECT)


@pytest.mark.parametrize(
    "address",
    [
        "victim%net.example@example.org",
        '"victim@net.example"@example.org',
        "net.example!victim@example.org",
        '"victim%net.example"@example.org',
        "IMCEASMTP-victim+40net+2Eexample@example.org",
        "imceasmtp-victim+40net+2Eexample@example.org",
    ],
)
def test_routes_in_the_local_part_are_not_ours(address: str) -> None:
    finding = recipient_domain(_OURS, rcpt(address))
    assert finding is not None
    assert (finding.reason, finding.action) == (Reason.ROUTED_LOCAL_PART, Action.REJECT)


def test_routes_are_taken_for_domains_that_ask_for_them() -> None:
    options = RecipientDomainOptions(frozenset({"example.org"}), frozenset({"example.org"}))
    assert recipient_domain(options, rcpt("a%b@example.org")) is None


def test_anything_is_taken_on_purpose_but_no_route() -> None:
    options = RecipientDomainOptions(frozenset({"*"}))
    assert recipient_domain(options, rcpt("user@anywhere.example")) is None
    assert recipient_domain(options, rcpt("a%b@anywhere.example")) is not None


def test_without_domains_nothing_is_taken() -> None:
    assert recipient_domain(RecipientDomainOptions(), rcpt("user@example.org")) is not None


def test_without_a_recipient_there_is_nothing_to_find() -> None:
    assert recipient_domain(_OURS, nothing(Stage.RECIPIENT)) is None


def test_it_is_a_duty_at_each_recipient() -> None:
    assert CHECK.duty
    assert CHECK.stages == {Stage.RECIPIENT}
