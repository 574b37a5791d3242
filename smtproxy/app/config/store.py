"""The table [store]: where limits, counters and acquaintances are kept. Must never ask a server or open a database."""

import importlib.util
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, PrivateAttr, ValidationInfo, model_validator

from smtproxy.app.config.addresses import Address, Embedded, server
from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import LIST, STRICT, one_of
from smtproxy.app.config.tls import Authorities, OptionalFile
from smtproxy.app.config.units import Count, Duration, show_seconds
from smtproxy.stores.secret import read_secret

_MOST_ENTRIES: Final = 10_000_000
"""2 GB: an entry takes some 200 octets, and there are half as many slots again."""
_LONGEST_TIMEOUT: Final = 5.0
"""Seconds that a session may be asked to wait for what it can do without."""


def _valkey(value: object) -> object:
    found = server(value) if isinstance(value, str) else None
    if found is None or isinstance(found, Embedded):
        raise ValueError('must be like "10.0.0.30:6379"')
    return found


class Store(BaseModel):
    """What is remembered of clients and senders, for all processes together. When it fails, mail goes on without."""

    model_config = STRICT
    kind: Annotated[
        Literal["auto", "memory", "sqlite", "valkey"],
        one_of(["auto", "memory", "sqlite", "valkey"]),
        Field(
            description="memory: gone with a restart. sqlite: in a file, too. valkey: on a server of the Redis "
            "protocol that several machines share; needs `pip install 'smtproxy[valkey]'`. auto: sqlite where there is "
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
    servers: Annotated[
        tuple[Annotated[Address, BeforeValidator(_valkey)], ...],
        LIST,
        Field(description='"host:port" of the server of valkey; of a cluster, of some of its servers.'),
    ] = ()
    cluster: bool = Field(default=False, description="The servers are a cluster.")
    user: Annotated[str, Field(description="Who we are there. Empty: the default user.")] = ""
    password_file: Annotated[
        OptionalFile,
        Field(
            validate_default=True,
            description="File with the password in its only line, read for each connection. Empty: none is said.",
        ),
    ] = None
    database: Annotated[int, Field(ge=0, le=1_000_000, description="Number of the database; a cluster has but 0.")] = 0
    tls: bool = Field(default=False, description="Speak TLS; the certificate must name the host in `servers`.")
    tls_ca: Annotated[
        Authorities, Field(description="File (PEM) of the certificates that are trusted. Empty: those of the system.")
    ] = None
    timeout: Annotated[
        Duration,
        Field(
            le=_LONGEST_TIMEOUT,
            description="How long an operation there may take. A server that takes longer is not asked again until it "
            "is well; meanwhile each machine remembers by itself.",
        ),
    ] = 0.05
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
        description="Keep clients, addresses and domains as keyed hashes only: found again, but nobody can read them. "
        "The key lies beside the file of sqlite (store.sqlite.secret).",
    )
    secret_file: Annotated[
        OptionalFile,
        Field(
            validate_default=True,
            description="File with the key of these hashes for valkey, 16 to 64 octets, the same on all machines.",
        ),
    ] = None

    _file: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _resolved(self, info: ValidationInfo) -> "Store":
        state = survey_of(info).state
        survey_of(info).privacy = self.privacy
        self._file = state / "store.sqlite" if self.path is None and state is not None else self.path
        if self.kind == "sqlite" and self._file is None:
            raise ValueError("sqlite needs a file: set path, or server.state")
        if self.path is not None and self.kind not in ("auto", "sqlite"):
            raise ValueError(f"path is the file of sqlite, and kind is {self.kind}")
        if self.path is not None and not self.path.parent.is_dir():
            raise ValueError(f"the directory of path is not there: {self.path.parent}")
        if self.kind == "valkey":
            self._check_valkey()
        elif self.servers:
            raise ValueError(f"servers are those of valkey, and kind is {self.kind}")
        return self

    def _check_valkey(self) -> None:
        if importlib.util.find_spec("coredis") is None:
            raise ValueError("the Python package coredis is missing, which asks it: pip install 'smtproxy[valkey]'")
        if not self.servers:
            raise ValueError('valkey needs servers, as in ["10.0.0.30:6379"]')
        if len(self.servers) > 1 and not self.cluster:
            raise ValueError("several servers are a cluster: set cluster, or name one")
        if self.user and self.password_file is None:
            raise ValueError("user needs password_file")
        if self.privacy != (self.secret_file is not None):
            raise ValueError("with valkey, privacy and secret_file stand together: all machines need the same secret")
        try:
            if self.secret_file is not None:
                read_secret(self.secret_file)
            if self.password_file is not None:
                self.password_file.read_bytes()
        except (OSError, ValueError) as error:
            name = self.secret_file if isinstance(error, ValueError) else error.filename
            raise ValueError(f"{Path(str(name)).name}: {getattr(error, 'strerror', None) or error}") from None

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
        if self.chosen == "valkey":
            how = "under TLS" if self.tls else "in CLEAR TEXT"
            cluster = "the cluster of " * self.cluster
            where = ", ".join(map(str, self.servers))
            return f"on {cluster}{where} {how}, within {show_seconds(self.timeout)}; in memory while it is down"
        return "in memory only: lost with a restart" if self.file is None else f"in memory, and in {self.file}"
