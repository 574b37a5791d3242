"""A directory as a source of recipients. Mistakes are in tests/app/configurations."""

from pathlib import Path

import pytest

from smtproxy.app.config import ConfigErrors, load
from smtproxy.app.config.ldap import LdapRecipients
from smtproxy.lookups.recipients.connecting import DirectorySettings
from smtproxy.lookups.recipients.ldap import LdapSettings
from smtproxy.lookups.recipients.questions import QuestionSettings

GOOD = Path(__file__).parents[1] / "configurations/good_directory.toml"


def test_a_directory(tmp_path: Path) -> None:
    source = load(GOOD).recipients.sources[0]
    assert isinstance(source, LdapRecipients)
    directory = source.directory
    assert directory.servers == ("ldaps://dc1.example.org:3269", "ldap://10.0.0.5:3268")
    assert (directory.starttls, directory.user) == (True, "smtproxy@example.org")
    assert directory.password_file == GOOD.parent / "recipients/password"
    assert source.settings(None).copy is None
    assert source.settings(tmp_path).copy == tmp_path / "recipients-ad.json"
    assert source.settings(None).refresh == 600


@pytest.mark.parametrize("there", [True, False])
def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: there or None)
    if there:
        assert load(GOOD).recipients.sources
    else:
        with pytest.raises(ConfigErrors, match=r"bonsai is missing.*pip install 'smtproxy\[ldap\]'"):
            load(GOOD)


def test_what_is_asked(tmp_path: Path) -> None:
    one, two = load(GOOD).recipients.sources[:2]
    assert isinstance(one, LdapRecipients)
    assert isinstance(two, LdapRecipients)
    usual, other = one.settings(None), two.settings(tmp_path, frozenset({"example.org"}))
    assert (usual.reads, usual.asks, usual.changes, usual.accepted_domains) == (True, True, 15, False)
    assert usual.questions == QuestionSettings()
    assert (other.reads, other.changes, other.ours) == (False, 0, frozenset({"example.org"}))
    assert other.accepted_domains
    assert other.accepted_copy == tmp_path / "recipients-huge-domains.json"
    assert other.questions == QuestionSettings(3600, 30, 100, other.max_age)
    assert (two.directory.ask_timeout, two.directory.configuration_base) == (2, "CN=Configuration,DC=example,DC=org")


def test_defaults_are_those_of_the_source() -> None:
    fields = LdapRecipients.model_fields
    settings, directory = LdapSettings("x"), DirectorySettings((), "", "")
    assert (fields["refresh"].default, fields["max_age"].default) == (settings.refresh, settings.max_age)
    assert (fields["timeout"].default, fields["ask_timeout"].default) == (directory.timeout, directory.ask_timeout)
    questions = (fields["positive_ttl"].default, fields["negative_ttl"].default, fields["questions_per_minute"].default)
    assert QuestionSettings(*questions) == QuestionSettings()


def test_a_no_never_counts_for_longer_than_a_reading(tmp_path: Path) -> None:
    text = GOOD.read_text().replace('refresh = "10m"', 'refresh = "10s"')
    text = text.replace('"recipients/', f'"{GOOD.parent}/recipients/')
    (tmp_path / "a.toml").write_text(text)
    source = load(tmp_path / "a.toml").recipients.sources[0]
    assert isinstance(source, LdapRecipients)
    assert source.settings(None).questions.negative_ttl == 10
