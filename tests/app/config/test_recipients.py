"""The tables of recipients. Mistakes are in tests/app/configurations."""

from pathlib import Path

from smtproxy.app.config import load
from smtproxy.app.config.recipients import Recipients
from smtproxy.lookups.recipients.spelling import Spelling
from smtproxy.policy.checks.recipients import RecipientsOptions

GOOD = Path(__file__).parents[1] / "configurations/good_recipients.toml"


def test_settings() -> None:
    table = load(GOOD).recipients
    assert table.spelling == Spelling(case_sensitive=True, delimiter="+-")
    (source,) = table.sources
    settings = source.settings
    assert (settings.name, settings.domains, settings.shrink) == ("people", frozenset({"example.org"}), 0.2)
    assert settings.path == GOOD.parent / "recipients/good.txt"


def test_defaults_are_those_of_the_check() -> None:
    table, options = Recipients(), RecipientsOptions()
    assert (table.on_error, table.accept_postmaster) == (options.on_error, options.accept_postmaster)
    assert table.sources == ()
