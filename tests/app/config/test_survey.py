"""The notebook of a validation: what it knows of a document that may be wrong in any way."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from smtproxy.app.config.addresses import Address, Embedded
from smtproxy.app.config.model import Config
from smtproxy.app.config.survey import survey


def test_backends_with_their_servers() -> None:
    notes = survey(
        Path("a.toml"),
        {
            "backends": {
                "real": {"servers": ["10.0.0.10:25", "no address", 3, "[::1]:25"]},
                "sample": {"servers": ["embedded:exchange"], "lease": "wrong"},
                "odd": {"servers": "10.0.0.10:25"},
                "empty": {},
                "none": 3,
            }
        },
    )
    assert notes.servers == {
        "real": (Address("10.0.0.10", 25), Address("::1", 25)),
        "sample": (Embedded("exchange"),),
        "odd": (),
        "empty": (),
    }
    assert [name for name in ("real", "sample", "odd", "unknown") if notes.is_embedded(name)] == ["sample"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["backends", "servers", "a"]), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["backends", "listeners", "a"]), values))
def test_any_document(document: dict[str, object]) -> None:
    assert survey(Path(), document).binds == []


def test_a_configuration_needs_one() -> None:
    """Only load() makes configurations: without its notes the rules between tables would be skipped."""
    document = {
        "listeners": [{"bind": ["127.0.0.1:0"], "backend": "b", "domains": ["example.org"]}],
        "backends": {"b": {"servers": ["127.0.0.1:25"]}},
    }
    assert Config.model_validate(document, context=survey(Path(), document)).listeners
    with pytest.raises((TypeError, ValidationError)):
        Config.model_validate(document)
