"""Hello names that nobody honest, or nobody careful, would say."""

import pytest

from smtproxy.policy.checks.hello import CHECK, HelloOptions, hello
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.facts import hello as said
from tests.policy.facts import nothing

_OURS = HelloOptions(frozenset({"mx.example.org", "example.org"}))


@pytest.mark.parametrize(
    "name",
    [
        "client.example",
        "localhost",
        "a-b.example.",
        "[192.0.2.1]",
        "[IPv6:2001:db8::1]",
        "xn--bcher-kva.example",
        "1.example",
    ],
)
def test_names_and_address_literals_are_fine(name: str) -> None:
    assert hello(_OURS, said(name)) is None


@pytest.mark.parametrize("name", ["mx.example.org", "MX.EXAMPLE.ORG", "example.org.", "Example.Org"])
def test_our_own_name_is_forged(name: str) -> None:
    finding = hello(_OURS, said(name))
    assert finding is not None
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
    assert finding is not None
    assert finding.reason is Reason.HELLO_SYNTAX
    assert len(str(finding.saw["said"])) <= 255


def test_without_a_hello_there_is_nothing_to_find() -> None:
    assert hello(_OURS, nothing(Stage.HELLO)) is None


def test_it_is_a_judgement() -> None:
    assert not CHECK.duty
    assert CHECK.stages == {Stage.HELLO}
