"""CEL's messages in an administrator's words; those of real mistakes are in tests/app/configurations."""

import pytest

from smtproxy.policy.facts import FACTS, Scope
from smtproxy.policy.rules.complaints import complaint
from smtproxy.session.verdicts import Stage


def _error(text: str, line: int = 1) -> str:
    return f"INVALID_ARGUMENT: ERROR: <input>:{line}:7: {text}\n | x\n | ^ [INVALID_ARGUMENT]"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("undeclared reference to 'clent' (in container '')", "there is no `clent`; did you mean `client`?"),
        (
            "undeclared reference to 'qqq' (in container '')",
            "there is no `qqq`; docs/checks.md has the names that a rule may use",
        ),
        (
            "undeclared reference to 'size' (in container '')",
            'there is no `size` at stage "hello": it needs stage = "mail" or "recipient" or "message"',
        ),
        (
            "found no matching overload for '_==_' applied to '(string, int)'",
            "`==` does not go with a text and a whole number",
        ),
        (
            "found no matching overload for '@in' applied to '(int, list(map(string, dyn)))'",
            "`in` does not go with a whole number and a list",
        ),
        (
            "undeclared reference to 'known.zzzzzzzzzzzzzzzz' (in container '')",
            "there is no `known.zzzzzzzzzzzzzzzz`; known are "
            + ", ".join(f"known.{key.name}" for key in FACTS.values() if key.scope in (Scope.SESSION, Scope.HELLO)),
        ),
        ("something that nobody has seen", "something that nobody has seen"),
    ],
)
def test_words(said: str, words: str) -> None:
    assert str(complaint(_error(said), Stage.HELLO)) == f"{words} (column 7)"


def test_the_line_is_said_where_there_are_several() -> None:
    assert str(complaint(_error("x", 2), Stage.HELLO)) == "x (line 2, column 7)"


def test_a_macro_that_is_withheld_is_the_cause_of_what_stands_before_it() -> None:
    said = _error("undeclared reference to 'x' (in container '')") + _error(
        "undeclared reference to 'map' (in container '')"
    )
    assert str(complaint(said, Stage.HELLO)).startswith("`map` is not offered: a rule makes no lists")


def test_nesting() -> None:
    assert (
        str(complaint("CANCELLED: Expression recursion limit exceeded. limit: 32", Stage.HELLO))
        == "is nested too deeply"
    )


def test_what_has_no_place_is_said_as_it_is() -> None:
    assert str(complaint("out of cheese", Stage.HELLO)) == "out of cheese"
