"""The table of the penalty box: its defaults are those of the policy."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from smtproxy.app.config import ConfigErrors, load
from smtproxy.app.config.reputation import Reputation
from smtproxy.policy.reputation import ReputationSettings
from tests.app.config.test_store import TEXT


def test_defaults_are_those_of_the_policy() -> None:
    assert Reputation().settings == ReputationSettings()


def test_nothing_is_learned_where_that_is_switched_off() -> None:
    assert Reputation(learn=False).settings is None


@pytest.mark.parametrize("value", [0, 0.5, -1, True, "30", 1e9, float("nan")])
def test_a_threshold_that_is_none(value: object) -> None:
    with pytest.raises(ValidationError, match="must be a number from 1 to 100000"):
        Reputation.model_validate({"threshold": value})


def test_the_longest_penalty_is_not_below_the_first() -> None:
    assert Reputation.model_validate({"penalty": "1d", "longest_penalty": "1d"}).longest_penalty == 86400.0
    with pytest.raises(ValidationError, match="must not be below penalty, which is 2d"):
        Reputation.model_validate({"penalty": "2d"})


_NO_TABLES = ["smtproxy", "inet", "inet a b", "inet a;flush ruleset", "inet 1a", "arp a", "inet a\n"]


@pytest.mark.parametrize("value", _NO_TABLES)
def test_a_table_of_nftables_that_is_none(value: str) -> None:
    with pytest.raises(ValidationError, match="must be family and name of a table"):
        Reputation.model_validate({"nft": value})


@pytest.mark.parametrize("privacy", [False, True])
def test_addresses_that_are_kept_as_hashes_cannot_be_put_into_sets(tmp_path: Path, *, privacy: bool) -> None:
    file = tmp_path / "config.toml"
    text = '[reputation]\nnft = "inet a"\n' + f"[store]\nprivacy = {str(privacy).lower()}\n"
    file.write_text(text + TEXT)
    if not privacy:
        assert load(file).reputation.nft == "inet a"
        return
    with pytest.raises(ConfigErrors, match=r"cannot be with store\.privacy"):
        load(file)
