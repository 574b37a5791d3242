"""The tables of recipients. Mistakes are in tests/app/configurations."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from smtproxy.app.config import ConfigErrors, load
from smtproxy.app.config.recipients import (
    KINDS,
    CalloutRecipients,
    FileRecipients,
    LdapRecipients,
    LearnedRecipients,
    Recipients,
)
from smtproxy.lookups.recipients.callout import CalloutSettings
from smtproxy.lookups.recipients.spelling import Spelling
from smtproxy.policy.checks.recipients import RecipientsOptions

GOOD = Path(__file__).parents[1] / "configurations/good_recipients.toml"


def test_settings() -> None:
    table = load(GOOD).recipients
    assert table.spelling == Spelling(case_sensitive=True, delimiter="+-")
    (source,) = table.sources
    assert isinstance(source, FileRecipients)
    settings = source.settings
    assert (settings.name, settings.domains, settings.shrink) == ("people", frozenset({"example.org"}), 0.2)
    assert settings.path == GOOD.parent / "recipients/good.txt"


def test_defaults_are_those_of_the_check() -> None:
    table, options = Recipients(), RecipientsOptions()
    assert (table.on_error, table.accept_postmaster) == (options.on_error, options.accept_postmaster)
    assert table.sources == ()


# Names that tools depend on, as in test_model.
CONTRACT: dict[type[BaseModel], set[str]] = {
    FileRecipients: {"kind", "name", "domains", "path", "shrink"},
    LdapRecipients: {
        "kind", "name", "domains", "servers", "base", "filter", "starttls", "tls_ca", "user", "password_file",
        "timeout", "refresh", "max_age", "shrink",
    },
    CalloutRecipients: {
        "kind", "name", "domains", "backend", "connections", "timeout", "exists_lives", "missing_lives",
    },
    LearnedRecipients: {"kind", "name", "domains", "lives"},
}  # fmt: skip


def test_names_are_a_contract() -> None:
    assert len(CONTRACT) == len(KINDS)
    for model, names in CONTRACT.items():
        assert set(model.model_fields) == names
        assert all(field.description for field in model.model_fields.values())


def test_a_directory(tmp_path: Path) -> None:
    source = load(GOOD.with_name("good_directory.toml")).recipients.sources[0]
    assert isinstance(source, LdapRecipients)
    directory = source.directory
    assert directory.servers == ("ldaps://dc1.example.org:3269", "ldap://10.0.0.5:3268")
    assert (directory.starttls, directory.user) == (True, "smtproxy@example.org")
    assert directory.password_file == GOOD.parent / "recipients/password"
    assert source.settings(None).copy is None
    assert source.settings(tmp_path).copy == tmp_path / "recipients-ad.json"
    assert source.settings(None).refresh == 600


def test_a_call_out() -> None:
    source = load(GOOD.with_name("good_callout.toml")).recipients.sources[0]
    assert isinstance(source, CalloutRecipients)
    assert source.settings == CalloutSettings("callout", "hub", frozenset({"example.org"}), 8.0, 3600.0, 60.0)
    assert source.connections == 2


@pytest.mark.parametrize("there", [True, False])
def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: there or None)
    if there:
        assert load(GOOD.with_name("good_directory.toml")).recipients.sources
    else:
        with pytest.raises(ConfigErrors, match=r"bonsai is missing.*pip install 'smtproxy\[ldap\]'"):
            load(GOOD.with_name("good_directory.toml"))
