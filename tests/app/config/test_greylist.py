"""The table [greylist], and what the profile puts into it and into [score]."""

from pathlib import Path

import pytest

from smtproxy.app.assembly import policy
from smtproxy.app.config import Config, ConfigErrors, load
from smtproxy.app.plan import plan
from tests.app.config.test_profiles import MINIMAL


def _load(directory: Path, more: str = "", top: str = "") -> Config:
    file = directory / "a.toml"
    file.write_text(f"{top}\n{MINIMAL}\n{more}")
    return load(file)


@pytest.mark.parametrize(
    ("profile", "action", "least"), [("observe", "observe", 3), ("cautious", "defer", 3), ("strict", "defer", 2)]
)
def test_the_profile_says_whether_and_from_where_on(profile: str, action: str, least: float, tmp_path: Path) -> None:
    config = _load(tmp_path, top=f'profile = "{profile}"')
    assert (config.greylist.action, config.score.greylist) == (action, least)


@pytest.mark.parametrize(
    ("score", "least"), [("tarpit = 1", 3), ("reject = 2", 2), ("defer = 0\nreject = 5", 3), ("greylist = 0", 0)]
)
def test_a_score_of_the_file_keeps_it_unless_it_is_harder(score: str, least: float, tmp_path: Path) -> None:
    assert _load(tmp_path, f"[score]\n{score}\n").score.greylist == least


def test_what_the_file_says_wins(tmp_path: Path) -> None:
    config = _load(tmp_path, '[greylist]\naction = "off"\nwait = "5m"\npasses_for = "90d"\n')
    assert config.greylist.action == "off"
    assert (config.greylist.windows.wait, config.greylist.windows.passes_for) == (300.0, 90 * 86400.0)


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ('[greylist]\naction = "reject"\n', 'must be "off" or "observe" or "defer"'),
        ('[greylist]\nwait = "3d"\n', "wait must be below retry_within"),
        ('[greylist]\nretry_within = "2d"\npasses_for = "1d"\n', "retry_within not above passes_for"),
        ('[greylist]\npasses_for = "500d"\n', "must be between 1ms and 400d"),
        ("[greylist]\npasses_for = true\n", "must be a duration"),
        ("[score]\ngreylist = 4\ndefer = 3\n", "tarpit and greylist must not be above defer"),
        ("greylist = 5\n", "greylist"),
        ("[score]\ndefer = true\n", r"^[^\n]*score.defer: must be a number[^\n]*$"),
    ],
)
def test_mistakes(more: str, wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=wrong):
        _load(tmp_path, more if more.startswith("[") else "", top="" if more.startswith("[") else more)


def test_who_is_asked_is_what_the_file_says(tmp_path: Path) -> None:
    config = _load(tmp_path)
    needed = {key.name for keys in policy(config, config.listeners[0]).wanted("192.0.2.1").values() for key in keys}
    assert "greylist" in needed
    config = _load(tmp_path, '[greylist]\naction = "off"\n')
    needed = {key.name for keys in policy(config, config.listeners[0]).wanted("192.0.2.1").values() for key in keys}
    assert "greylist" not in needed


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "who is unknown, with a sum of 3, is asked to come again after 2m, within 2d; passes for 36d"),
        ('[greylist]\naction = "observe"\n', "observed: who is unknown, with a sum of 3 would be asked to come again"),
        ('[greylist]\naction = "off"\n', "greylist           OFF"),
        ("[score]\ngreylist = 0\n", "greylist           never: [score] greylist is 0"),
    ],
)
def test_the_plan_says_it(more: str, said: str, tmp_path: Path) -> None:
    assert said in plan(_load(tmp_path, more))


def test_greylisting_can_be_lifted_by_its_name(tmp_path: Path) -> None:
    more = '[[exemptions]]\nclients = ["192.0.2.0/24"]\nchecks = ["greylist"]\n'
    config = _load(tmp_path, more)
    judge = policy(config, config.listeners[0])
    assert "greylist" not in {key.name for keys in judge.wanted("192.0.2.1").values() for key in keys}
    assert "greylist" in {key.name for keys in judge.wanted("198.51.100.1").values() for key in keys}
