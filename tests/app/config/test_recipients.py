"""The tables of recipients. Mistakes are in tests/app/configurations."""

from pathlib import Path

from pydantic import BaseModel

from smtproxy.app.config import load
from smtproxy.app.config.ldap import LdapRecipients
from smtproxy.app.config.recipients import KINDS, CalloutRecipients, FileRecipients, LearnedRecipients, Recipients
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
        "timeout", "refresh", "max_age", "shrink", "read", "ask_missing", "ask_timeout", "positive_ttl", "negative_ttl",
        "questions_per_minute", "changes", "accepted_domains", "configuration_base",
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


def test_a_call_out() -> None:
    source = load(GOOD.with_name("good_callout.toml")).recipients.sources[0]
    assert isinstance(source, CalloutRecipients)
    assert source.settings == CalloutSettings("callout", "hub", frozenset({"example.org"}), 8.0, 3600.0, 60.0)
    assert source.connections == 2
