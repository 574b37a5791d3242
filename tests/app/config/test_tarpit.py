"""The table of the tarpit: its defaults are those of the session floor; mistakes are in configurations/tarpit_wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from smtproxy.app.config.survey import Survey
from smtproxy.app.config.tarpit import Tarpit
from smtproxy.session.limits import LIMITS
from smtproxy.session.tarpit import TarpitSettings


def test_defaults_are_those_of_the_counter() -> None:
    table, settings = Tarpit(), TarpitSettings()
    assert dict(table) == {name: getattr(settings, name) for name in Tarpit.model_fields}


@pytest.mark.parametrize("name", ["delay", "max_per_client", "max_total"])
def test_nothing_is_switched_off_by_a_zero(name: str) -> None:
    with pytest.raises(ValidationError):
        Tarpit.model_validate({name: 0})


def test_no_delay_outlasts_an_honest_client() -> None:
    assert Tarpit.model_validate({"delay": "60s"}).delay == 60.0
    with pytest.raises(ValidationError, match="must not be above 1m"):
        Tarpit.model_validate({"delay": "61s"})


def test_a_pace_is_none_or_no_slower_than_we_ask_clients_to_be(tmp_path: Path) -> None:
    survey = Survey(tmp_path, {}, limits=replace(LIMITS, body_rate=600))
    assert [Tarpit.model_validate({"pace": one}, context=survey).pace for one in (0, 600)] == [0, 600]
    with pytest.raises(ValidationError, match="at least 600 octets per second"):
        Tarpit.model_validate({"pace": 599}, context=survey)
