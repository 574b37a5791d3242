"""The names a rule may use: each has a value of its type where it may be used, and every fact has its fields there."""

from dataclasses import fields

import pytest

from smtproxy.policy.evidence import Known, Unknown
from smtproxy.policy.facts import FACTS, HeaderBlock, Listed, Listings, ReverseName, Scope
from smtproxy.policy.rules.variables import LONGEST_LIST, LONGEST_TEXT, STAGES, VARIABLES, kinds, plain
from smtproxy.session.verdicts import Stage
from tests.policy.rules.evidence import evidence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client", "192.0.2.10"),
        ("listener", "mx"),
        ("tls", "TLSv1.3"),
        ("hello", "client.example"),
        ("sender", "a@Example.NET"),
        ("sender_domain", "example.net"),
        ("recipient", "b@example.org"),
        ("recipient_domain", "example.org"),
        ("recipients", 1),
        ("size", 1000),
        ("received", None),
    ],
)
def test_what_the_dialogue_shows(name: str, value: object) -> None:
    assert VARIABLES[name].get(evidence(), "mx") == value
    assert VARIABLES[name].meaning


def test_what_a_message_shows() -> None:
    seen = evidence(Stage.MESSAGE)
    assert {name: VARIABLES[name].get(seen, "") for name in ("size", "received")} == {
        "size": 2000,
        "received": 3,
    }


def test_every_field_of_every_fact_has_its_name() -> None:
    for key in FACTS.values():
        assert VARIABLES[f"known.{key.name}"].kind == "bool"
        for field in fields(key.shape):
            assert VARIABLES[f"{key.name}.{field.name}"].key is key


def test_a_fact_is_there_at_the_stages_of_its_scope() -> None:
    first = {
        scope: next(VARIABLES[f"known.{k.name}"].stages for k in FACTS.values() if k.scope is scope) for scope in Scope
    }
    assert first == {
        Scope.SESSION: STAGES,
        Scope.HELLO: STAGES[1:],
        Scope.TRANSACTION: STAGES[2:],
        Scope.RECIPIENT: (Stage.RECIPIENT,),
        Scope.MESSAGE: (Stage.MESSAGE,),
    }


def test_an_unknown_fact_has_no_values() -> None:
    name, known = VARIABLES["reverse_name.confirmed"], VARIABLES["known.reverse_name"]
    seen = evidence(reverse_name=Known(ReverseName(("a.example",), "a.example")))
    unseen = evidence(reverse_name=Unknown("timeout"))
    assert (name.get(seen, ""), known.get(seen, "")) == ("a.example", True)
    assert (name.get(unseen, ""), known.get(unseen, "")) == (None, False)
    assert (name.get(evidence(), ""), known.get(evidence(), "")) == (None, False)


def test_types_in_the_spelling_of_the_language() -> None:
    assert kinds(HeaderBlock)["date_off"] == ("double", None)
    assert kinds(HeaderBlock)["from_domains"] == ("list(string)", None)
    assert kinds(Listings) == {
        "listed": ("list(map(string, dyn))", Listed),
        "unknown": ("list(list(string))", None),
    }


def test_values_are_plain_and_bounded() -> None:
    listed = Listings((Listed("zen", "192.0.2.10", ("127.0.0.2",)),) * 200)
    made = plain(listed)
    assert isinstance(made, dict)
    assert made["listed"] == [{"zone": "zen", "subject": "192.0.2.10", "answers": ["127.0.0.2"]}] * LONGEST_LIST
    assert plain("x" * 5000) == "x" * LONGEST_TEXT
    assert (plain(5), plain(True), plain(1.5)) == (5, True, 1.5)
