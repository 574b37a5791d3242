"""The table [store]: where limits, counters and acquaintances are kept. Must never open what it names."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, PrivateAttr, ValidationInfo, model_validator

from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import STRICT, one_of
from smtproxy.app.config.units import Count

_MOST_ENTRIES: Final = 10_000_000
"""2 GB: an entry takes some 200 octets, and there are half as many slots again."""


class Store(BaseModel):
    """What is remembered of clients and senders, for all processes together. When it fails, mail goes on without."""

    model_config = STRICT
    kind: Annotated[
        Literal["auto", "memory", "sqlite", "valkey"],
        one_of(["auto", "memory"], later=["sqlite", "valkey"]),
        Field(
            description="memory: gone with a restart. auto: memory. Changed by a restart only, as all of this table."
        ),
    ] = "auto"
    entries: Annotated[
        Count,
        Field(
            le=_MOST_ENTRIES,
            description="How many entries there may be, each of some 300 octets; above, what expires soonest is pushed "
            "out, but never what a person has set.",
        ),
    ] = 100_000
    privacy: bool = Field(
        default=False,
        description="Keep clients, addresses and domains as keyed hashes only: found again, but nobody can read them.",
    )

    _state: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _resolved(self, info: ValidationInfo) -> "Store":
        self._state = survey_of(info).state
        return self

    @property
    def chosen(self) -> Literal["memory", "sqlite", "valkey"]:
        """The kind that it comes to."""
        return "memory"

    @property
    def words(self) -> str:
        """What there is to say of it, for people."""
        return "in memory only: lost with a restart"
