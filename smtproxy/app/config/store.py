"""The table [store]: where limits, counters and acquaintances are kept. Must never open what it names."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, PrivateAttr, ValidationInfo, model_validator

from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import STRICT, one_of
from smtproxy.app.config.tls import OptionalFile
from smtproxy.app.config.units import Count

_MOST_ENTRIES: Final = 10_000_000
"""2 GB: an entry takes some 200 octets, and there are half as many slots again."""


class Store(BaseModel):
    """What is remembered of clients and senders, for all processes together. When it fails, mail goes on without."""

    model_config = STRICT
    kind: Annotated[
        Literal["auto", "memory", "sqlite", "valkey"],
        one_of(["auto", "memory", "sqlite"], later=["valkey"]),
        Field(
            description="memory: gone with a restart. sqlite: in a file, too. auto: sqlite where there is "
            "server.state, else memory. Changed by a restart only, as all of this table."
        ),
    ] = "auto"
    path: Annotated[
        OptionalFile,
        Field(
            validate_default=True,
            description="The file of sqlite; relative to the directory of the configuration. Empty: store.sqlite in "
            "server.state.",
        ),
    ] = None
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

    _file: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _resolved(self, info: ValidationInfo) -> "Store":
        state = survey_of(info).state
        self._file = state / "store.sqlite" if self.path is None and state is not None else self.path
        if self.kind == "sqlite" and self._file is None:
            raise ValueError("sqlite needs a file: set path, or server.state")
        if self.path is not None and self.kind not in ("auto", "sqlite"):
            raise ValueError(f"path is the file of sqlite, and kind is {self.kind}")
        if self.path is not None and not self.path.parent.is_dir():
            raise ValueError(f"the directory of path is not there: {self.path.parent}")
        return self

    @property
    def chosen(self) -> Literal["memory", "sqlite", "valkey"]:
        """The kind that it comes to."""
        if self.kind == "auto":
            return "memory" if self._file is None else "sqlite"
        return self.kind

    @property
    def file(self) -> Path | None:
        """The file of sqlite; None: it is another kind."""
        return self._file if self.chosen == "sqlite" else None

    @property
    def words(self) -> str:
        """What there is to say of it, for people."""
        return "in memory only: lost with a restart" if self.file is None else f"in memory, and in {self.file}"
