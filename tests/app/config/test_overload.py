"""The table of the overload: its defaults are those of the policy; mistakes are in configurations/overload_wrong."""

from dataclasses import asdict

import pytest
from pydantic import ValidationError

from smtproxy.app.config.overload import Overload
from smtproxy.policy.overload import OverloadSettings


def test_defaults_are_those_of_the_policy() -> None:
    assert dict(Overload()) == asdict(OverloadSettings())


@pytest.mark.parametrize(
    ("name", "value"), [("kept", 0.91), ("kept", -0.1), ("memory", 0), ("memory", 1), ("errors", 0)]
)
def test_nothing_that_shuts_everybody_out(name: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Overload.model_validate({name: value})


def test_nothing_need_be_kept() -> None:
    assert Overload.model_validate({"kept": 0.0}).kept == 0.0
