"""The profiles: laid under the file, never over it; duties are not in them."""

from pathlib import Path

import pytest

from smtproxy.app.config import ConfigErrors, load
from smtproxy.app.config.checks import DUTIES, Checks
from smtproxy.app.config.profiles import PROFILES, Profile, chosen, with_profile
from smtproxy.policy.findings import Action

MINIMAL = """
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:25"]
"""
JUDGEMENTS = [name for name in Checks.model_fields if name not in DUTIES]


def test_every_judgement_has_its_stance_and_a_reason() -> None:
    assert set(JUDGEMENTS) <= PROFILES.keys()
    assert not DUTIES & PROFILES.keys()
    for stance in PROFILES.values():
        assert stance.why.endswith(".")
        assert all(Action(stance.action(profile)) is not Action.OFF for profile in Profile)


def test_observe_refuses_no_mail() -> None:
    """What `not_smtp` finds is none, and whom a person has blocked is refused by that person."""
    refusing = {name for name, stance in PROFILES.items() if stance.observe != "observe"}
    assert refusing == {"not_smtp", "blocked"}


def test_each_profile_is_at_least_as_hard_as_the_one_before() -> None:
    order = [action.value for action in Action]
    for name, stance in PROFILES.items():
        hardness = [order.index(stance.action(profile)) for profile in Profile]
        assert hardness == sorted(hardness) or stance.strict == "score", name


@pytest.mark.parametrize("profile", list(Profile))
def test_a_file_that_says_nothing_else_has_it_all(profile: Profile, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(f'profile = "{profile.value}"\n{MINIMAL}')
    config = load(file)
    assert config.profile is profile
    for name in JUDGEMENTS:
        assert getattr(config.checks, name).action.value == PROFILES[name].action(profile)


def test_the_shipped_default_is_cautious(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(MINIMAL)
    named = tmp_path / "b.toml"
    named.write_text(f'profile = "cautious"\n{MINIMAL}')
    assert dict(load(file)) == dict(load(named))


def test_what_the_file_says_wins(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        f'profile = "strict"\n{MINIMAL}[checks.hello]\naction = "off"\n[checks.early_talker]\non_error = "defer"\n'
    )
    config = load(file)
    assert config.checks.hello.action is Action.OFF
    assert config.checks.early_talker.action is Action.REJECT
    assert config.checks.early_talker.on_error.value == "defer"


def test_strict_adds_up_and_a_score_of_the_file_is_taken_as_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(f'profile = "strict"\n{MINIMAL}')
    assert load(file).score.reject == 3.0
    file.write_text(f'profile = "strict"\n{MINIMAL}[score]\ndefer = 5\n')
    assert (load(file).score.defer, load(file).score.reject) == (5.0, 0.0)


@pytest.mark.parametrize("checks", [5, {"hello": 5}, {"hello": {"action": 5}}, {"hallo": {}}])
def test_what_is_wrong_stays_wrong(checks: object) -> None:
    document = {"checks": checks}
    laid = with_profile(document)["checks"]
    assert laid == checks or laid.items() >= checks.items()  # type: ignore[attr-defined] # a table, or it is equal


def test_a_profile_that_is_none(tmp_path: Path) -> None:
    assert chosen({"profile": "harsh"}) is Profile.CAUTIOUS
    file = tmp_path / "a.toml"
    file.write_text(f'profile = "harsh"\n{MINIMAL}')
    with pytest.raises(ConfigErrors, match='profile: must be "observe" or "cautious" or "strict"'):
        load(file)
