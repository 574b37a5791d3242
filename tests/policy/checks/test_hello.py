"""Hello names that nobody honest, or nobody careful, would say."""

import pytest

from smtproxy.policy.checks.hello import CHECK, HelloOptions, check, hello
from smtproxy.policy.evidence import Unknown
from smtproxy.policy.facts import HELLO_NAME, HelloName
from smtproxy.policy.findings import CannotTell, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.facts import hello as said
from tests.policy.facts import nothing, told

_OURS = HelloOptions(frozenset({"mx.example.org", "example.org"}))


@pytest.mark.parametrize(
    "name",
    [
        "client.example",
        "localhost",
        "a-b.example.",
        "xn--bcher-kva.example",
        "1.example",
    ],
)
def test_names_and_address_literals_are_fine(name: str) -> None:
    assert hello(_OURS, said(name)) is None


@pytest.mark.parametrize("name", ["mx.example.org", "MX.EXAMPLE.ORG", "example.org.", "Example.Org"])
def test_our_own_name_is_forged(name: str) -> None:
    finding = hello(_OURS, said(name))
    assert isinstance(finding, Finding)
    assert finding.reason is Reason.HELLO_FORGED


@pytest.mark.parametrize(
    "name",
    [
        *("", "two words", "under_score.example", "-x.example", "x-.example", "a..example", "[1.2.3]", "[x]"),
        *("ü.example", "x" * 256, "<script>", "a\x00b", "[192.0.2.1", "[IPv6:zz]"),
    ],
)
def test_everything_else_is_bad_syntax(name: str) -> None:
    finding = hello(_OURS, said(name))
    assert isinstance(finding, Finding)
    assert finding.reason is Reason.HELLO_SYNTAX
    assert len(str(finding.saw["said"])) <= 255


def test_without_a_hello_there_is_nothing_to_find() -> None:
    assert hello(_OURS, nothing(Stage.HELLO)) is None


def test_it_is_a_judgement() -> None:
    assert not CHECK.duty
    assert CHECK.stages == {Stage.HELLO}


def reason(options: HelloOptions, name: str, client: str = "192.0.2.10", names: int = 1) -> Reason | None:
    found = hello(options, told(Stage.RECIPIENT, {}, client=client, said=name, names=names))
    return found.reason if isinstance(found, Finding) else None


@pytest.mark.parametrize(
    ("name", "client"),
    [
        ("[192.0.2.10]", "192.0.2.10"),
        ("[IPv6:2001:db8::1]", "2001:db8::1"),
        ("[IPv6:2001:0DB8:0:0::1]", "2001:db8::1"),
        ("[ipv6:::ffff:192.0.2.10]", "192.0.2.10"),
        ("[192.0.2.10]", "::ffff:192.0.2.10"),
        ("[IPv6:fe80::1]", "fe80::1%eth0"),
        ("[192.0.2.10]", ""),
    ],
)
def test_an_address_literal_is_the_clients_in_whatever_clothes(name: str, client: str) -> None:
    assert reason(_OURS, name, client) is None


@pytest.mark.parametrize("name", ["[192.0.2.11]", "[IPv6:2001:db8::1]", "[999.1.1.1]", "[IPv6:::ffff:192.0.2.11]"])
def test_another_address_is_foreign(name: str) -> None:
    assert reason(_OURS, name) is Reason.HELLO_FOREIGN_ADDRESS
    assert reason(HelloOptions(foreign_address=False), name) is None


@pytest.mark.parametrize("name", ["localhost", "exch01", "exch01."])
def test_a_name_without_a_dot_is_found_where_it_is_asked_for(name: str) -> None:
    assert reason(_OURS, name) is None
    assert reason(HelloOptions(unqualified=True), name) is Reason.HELLO_UNQUALIFIED


def test_a_name_that_changes() -> None:
    assert reason(_OURS, "client.example", names=2) is Reason.HELLO_CHANGED
    assert reason(HelloOptions(changed=False), "client.example", names=2) is None
    assert reason(_OURS, "mx.example.org", names=2) is Reason.HELLO_FORGED


def test_each_kind_can_be_left_out() -> None:
    ours = frozenset({"mx.example.org"})
    assert reason(HelloOptions(ours, forged=False), "mx.example.org") is None
    assert reason(HelloOptions(syntax=False), "two words") is None


@pytest.mark.parametrize(
    ("fact", "outcome"),
    [
        (HelloName(("192.0.2.1",)), None),
        (HelloName(), Reason.HELLO_UNRESOLVABLE),
        (HelloName(exists=False), Reason.HELLO_UNRESOLVABLE),
        (Unknown("timeout"), CannotTell("hello_name", "timeout")),
    ],
)
def test_a_name_that_leads_nowhere_is_found_where_it_is_asked_for(fact: object, outcome: object) -> None:
    evidence = told(Stage.RECIPIENT, {HELLO_NAME: fact}, said="client.example")
    found = hello(HelloOptions(unresolvable=True), evidence)
    assert (found.reason if isinstance(found, Finding) else found) == outcome
    assert hello(HelloOptions(), evidence) is None


def test_nothing_is_looked_up_that_nobody_asked_for() -> None:
    assert check(HelloOptions()).needs == ()
    assert check(HelloOptions(unresolvable=True)).needs == (HELLO_NAME,)
