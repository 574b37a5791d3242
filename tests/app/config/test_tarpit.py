"""The table of the tarpit: its defaults are those of the session floor; mistakes are in configurations/tarpit_wrong."""

import pytest
from pydantic import ValidationError

from smtproxy.app.config.tarpit import Tarpit
from smtproxy.session.tarpit import TarpitSettings


def test_defaults_are_those_of_the_counter() -> None:
    table, settings = Tarpit(), TarpitSettings()
    assert (table.delay, table.max_per_client, table.max_total, table.stutter) == (
        settings.delay,
        settings.max_per_client,
        settings.max_total,
        settings.stutter,
    )


@pytest.mark.parametrize("name", ["delay", "max_per_client", "max_total"])
def test_nothing_is_switched_off_by_a_zero(name: str) -> None:
    with pytest.raises(ValidationError):
        Tarpit.model_validate({name: 0})


def test_no_delay_outlasts_an_honest_client() -> None:
    assert Tarpit.model_validate({"delay": "60s"}).delay == 60.0
    with pytest.raises(ValidationError, match="must not be above 1m"):
        Tarpit.model_validate({"delay": "61s"})
