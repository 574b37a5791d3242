"""The table [bounds]: built from a dataclass, here from the real one and from a stand-in with other fields."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from smtproxy.app.config.bounds import MINIMA, ORDER, FromTable
from smtproxy.app.config.survey import Survey, survey
from smtproxy.session.limits import LIMITS, Limits


@dataclass(frozen=True, slots=True)
class StandIn:
    patience: float = field(default=5, metadata={"origin": "a test"})
    command_line: int = 100
    endless_line: int = 200


def read(table: object, notes: Survey | None = None) -> StandIn:
    adapter: TypeAdapter[StandIn] = TypeAdapter(Annotated[StandIn, FromTable()])
    return adapter.validate_python(table, context=notes or survey(Path(), {}))


def test_fields_are_set_by_name() -> None:
    assert read({}) == StandIn()
    assert read({"patience": "10m", "endless_line": "1KiB"}) == StandIn(600, 100, 1024)
    assert read({"patience": 0.5}).patience == 0.5


@pytest.mark.parametrize("table", [{"patience": "10"}, {"command_line": 0}, {"impatience": 1}, 3, [], "x"])
def test_mistakes(table: object) -> None:
    with pytest.raises(ValidationError):
        read(table)


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ({"command_line": 201}, ("endless_line",)),
        ({"endless_line": 99}, ("endless_line",)),
        ({"command_line": 300, "endless_line": 250}, ("endless_line",)),
    ],
)
def test_proportions(table: object, where: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="command_line must not be above endless_line") as caught:
        read(table)
    assert [error["loc"] for error in caught.value.errors()] == [where]


def test_equal_is_in_proportion() -> None:
    assert read({"command_line": 200}).command_line == 200


def test_others_can_look_them_up() -> None:
    notes = survey(Path(), {})
    adapter: TypeAdapter[Limits] = TypeAdapter(Annotated[Limits, FromTable()])
    assert adapter.validate_python({"group": 7}, context=notes).group == 7
    assert notes.limits.group == 7


def test_every_real_limit_can_be_set() -> None:
    adapter: TypeAdapter[Limits] = TypeAdapter(Annotated[Limits, FromTable()])
    table = {one.name: getattr(LIMITS, one.name) for one in fields(Limits)}
    assert adapter.validate_python(table, context=survey(Path(), {})) == LIMITS
    assert {one.name: one.metadata["origin"] for one in fields(Limits) if len(one.metadata["origin"]) < 10} == {}


def test_rules_are_about_limits_that_exist() -> None:
    names = {one.name for one in fields(Limits)}
    assert set(MINIMA) <= names
    assert {name for pair in ORDER for name in pair} <= names
    assert all(getattr(LIMITS, name) >= least for name, least in MINIMA.items())
    assert all(getattr(LIMITS, low) <= getattr(LIMITS, high) for low, high in ORDER)


def test_end_of_data_time_is_never_shortened() -> None:
    """RFC 5321 4.5.3.2.6, and the contract: nothing but this timer ends the wait for the backend."""
    adapter: TypeAdapter[Limits] = TypeAdapter(Annotated[Limits, FromTable()])
    with pytest.raises(ValidationError, match="must not be below 10m"):
        adapter.validate_python({"end_of_data_time": "599s"}, context=survey(Path(), {}))
