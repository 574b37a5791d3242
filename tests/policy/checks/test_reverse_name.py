"""What the DNS calls the client, and who vouches for one with a dynamic name."""

from typing import Any

import pytest

from smtproxy.policy.checks.reverse_name import CHECK, ReverseNameOptions, check, reverse_name
from smtproxy.policy.evidence import NOT_CONFIGURED, Unknown
from smtproxy.policy.facts import REVERSE_NAME, SENDER_DOMAIN, SPF, Key, ReverseName, SenderDomain, Spf
from smtproxy.policy.findings import CannotTell, Finding, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.facts import told

ALL = ReverseNameOptions()
NONE = ReverseNameOptions(missing=False, unconfirmed=False, dynamic=False)
DYNAMIC = ReverseName(("198-51-100-7.dsl.isp.test",), "198-51-100-7.dsl.isp.test")
STRANGER: dict[Key[Any], object] = {SPF: Spf("softfail"), SENDER_DOMAIN: SenderDomain(exists=True)}


def judged(fact: object, options: ReverseNameOptions = ALL, client: str = "198.51.100.7") -> Outcome:
    return reverse_name(options, told(Stage.RECIPIENT, {REVERSE_NAME: fact, **STRANGER}, client=client))


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        (ReverseName(), Reason.NO_REVERSE_NAME),
        (ReverseName(("mx.a.test",)), Reason.REVERSE_NAME_UNCONFIRMED),
        (ReverseName(("mx.a.test",), "mx.a.test"), None),
        (DYNAMIC, Reason.REVERSE_NAME_DYNAMIC),
        (ReverseName(DYNAMIC.names), Reason.REVERSE_NAME_UNCONFIRMED),
    ],
)
def test_findings(fact: ReverseName, reason: Reason | None) -> None:
    found = judged(fact)
    assert (found.reason if isinstance(found, Finding) else found) is reason
    assert judged(fact, NONE) is None


def test_a_dynamic_name_that_is_not_confirmed_is_one_all_the_same() -> None:
    found = judged(ReverseName(DYNAMIC.names), ReverseNameOptions(unconfirmed=False))
    assert isinstance(found, Finding)
    assert found.reason is Reason.REVERSE_NAME_DYNAMIC


def test_what_is_not_known_cannot_be_judged() -> None:
    assert judged(Unknown("timeout")) == CannotTell("reverse_name", "timeout")


@pytest.mark.parametrize("client", ["", "10.0.0.1", "127.0.0.1", "fd00::1", "::ffff:192.168.0.1"])
def test_clients_without_public_names(client: str) -> None:
    assert judged(ReverseName(), client=client) is None


@pytest.mark.parametrize(
    ("spf", "domain", "outcome"),
    [
        (Spf("pass"), Unknown("timeout"), None),
        (Unknown("timeout"), SenderDomain(exists=True, client_is_exchanger=True), None),
        (Spf("none"), SenderDomain(exists=True), Reason.REVERSE_NAME_DYNAMIC),
        (Spf("fail"), Unknown("no_domain"), Reason.REVERSE_NAME_DYNAMIC),
        (NOT_CONFIGURED, NOT_CONFIGURED, Reason.REVERSE_NAME_DYNAMIC),
        (Spf("temperror"), SenderDomain(exists=True), CannotTell("spf", "temperror")),
        (Unknown("timeout"), SenderDomain(exists=True), CannotTell("spf", "timeout")),
        (Spf("none"), Unknown("servfail"), CannotTell("sender_domain", "servfail")),
    ],
)
def test_who_vouches_for_a_dynamic_name(spf: object, domain: object, outcome: object) -> None:
    evidence = told(Stage.RECIPIENT, {REVERSE_NAME: DYNAMIC, SPF: spf, SENDER_DOMAIN: domain})
    found = reverse_name(ALL, evidence)
    assert (found.reason if isinstance(found, Finding) else found) == outcome


@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.HELLO])
def test_before_there_is_a_sender_nobody_can_vouch(stage: Stage) -> None:
    assert reverse_name(ALL, told(stage, {REVERSE_NAME: DYNAMIC})) is None
    assert reverse_name(ALL, told(stage, {REVERSE_NAME: ReverseName()})) is not None


def test_nothing_is_looked_up_that_nobody_asked_for() -> None:
    assert check(ALL).needs == CHECK.needs
    assert check(ReverseNameOptions(dynamic=False)).needs == (REVERSE_NAME,)
    assert not CHECK.duty
