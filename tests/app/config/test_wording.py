"""Words for what is wrong: nothing of the insides shows, and whatever is quoted stays in its line."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from smtproxy.app.config.model import Config
from smtproxy.app.config.survey import survey
from smtproxy.app.config.wording import location_of, message_of, path_of


def errors_of(document: dict[str, object]) -> list[ErrorDetails]:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(document, context=survey(Path(), document))
    return caught.value.errors(include_url=False)


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ((), "(the whole file)"),
        (("server",), "server"),
        (("listeners", 0, "bind", 12), "listeners[0].bind[12]"),
        (("backends", "a b", "lease"), 'backends."a b".lease'),
        (("a.b",), '"a.b"'),
        (("",), '""'),
        (("\x1b[31m\n",), '"\\u001b[31m\\n"'),
    ],
)
def test_paths(location: tuple[str | int, ...], path: str) -> None:
    assert path_of(location) == path


def test_name_of_a_key_is_blamed_on_the_key() -> None:
    locations = [location_of(error) for error in errors_of({"backends": {"a b": {"servers": ["10.0.0.10:25"]}}})]
    assert ("backends", "a b") in locations


@pytest.mark.parametrize(
    ("servers", "messages"),
    [
        ([], ["must not be empty"]),
        ([1, 2], ['must be a string like "exchange.example.org:25"'] * 2),
    ],
)
def test_list_whose_elements_are_all_wrong_is_not_called_empty(servers: list[object], messages: list[str]) -> None:
    errors = errors_of({"backends": {"b": {"servers": servers}}})
    assert [message_of(error) for error in errors if error["loc"][:1] == ("backends",)] == messages


@pytest.mark.parametrize("quoted", ["a\nb", "a\x1b[31mb", "a\u202eb", "a\u2028b"])
def test_quotes_stay_in_their_line(quoted: str) -> None:
    errors = errors_of({"listeners": [{"bind": [quoted + ":25"], "backend": quoted, "domains": [quoted]}]})
    messages = [message_of(error) for error in errors]
    assert len([message for message in messages if '"a' in message]) == 3
    assert all(message.isprintable() for message in messages)


NAMES = (
    "server",
    "listeners",
    "backends",
    "checks",
    "bounds",
    "log",
    "sample",
    "size",
    "hello",
    "bind",
    "domains",
    "b",
)
names = st.sampled_from((*NAMES, "name", "servers", "idle", "action", "x"))
values = st.recursive(
    st.booleans() | st.integers(-1, 70) | st.floats() | st.text(max_size=8) | st.just("127.0.0.1:25"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.dictionaries(names, values, max_size=5))
def test_every_mistake_has_words(document: dict[str, object]) -> None:
    """No document crashes the validation, and no message shows a class or a word of pydantic."""
    try:
        Config.model_validate(document, context=survey(Path(), document))
    except ValidationError as failure:
        for error in failure.errors(include_url=False):
            message = message_of(error)
            assert message
            assert path_of(location_of(error))
            for word in ("Input", "input", "instance", "tuple", "Tuple", "dictionary", "valid", "None", "str"):
                assert word not in message.replace("string", "")
