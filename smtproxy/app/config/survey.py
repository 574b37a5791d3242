"""What the check of one part of the configuration must know of the other parts: a notebook of one validation.

It keeps each error at its own line and finds all of them in one pass: facts of the document as it is written stand in
it from the start, and the listeners and limits note what they find. It must never outlive the loading of a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationInfo

from smtproxy.app.config.addresses import Address, Embedded, Server, server
from smtproxy.session.limits import LIMITS, Limits


@dataclass(slots=True)
class Survey:
    """Notes on one configuration while it is validated."""

    path: Path
    """The configuration file; other paths are relative to its directory."""
    servers: Mapping[str, tuple[Server, ...]]
    """The backends, be they right or wrong, each with those of its servers that can be read."""
    state: Path | None = None
    """The directory server.state, once it is known to be right."""
    privacy: bool = False
    """What is remembered is kept as hashes only."""
    limits: Limits = LIMITS
    """The limits, once they are known to be right; the listeners stand behind them."""
    binds: list[Address] = field(default_factory=list)
    """Addresses of listeners so far."""
    names: set[str] = field(default_factory=set)
    """Names of listeners so far."""
    lists: set[str] = field(default_factory=set)
    """Names of lists so far."""
    rules: set[str] = field(default_factory=set)
    """Names of rules so far."""
    limits_named: set[str] = field(default_factory=set)
    """Names of limits so far."""
    domains: set[str] = field(default_factory=set)
    """Domains of listeners so far."""
    sources: set[str] = field(default_factory=set)
    """Names of sources of recipients so far."""

    def is_embedded(self, backend: str) -> bool:
        """Whether mail for this backend goes nowhere."""
        return any(isinstance(one, Embedded) for one in self.servers.get(backend, ()))


def survey(path: Path, document: Mapping[str, object]) -> Survey:
    """Open the notebook for a document."""
    backends = document.get("backends")
    named = backends.items() if isinstance(backends, Mapping) else ()
    return Survey(path, {str(name): _readable(table) for name, table in named if isinstance(table, Mapping)})


def survey_of(info: ValidationInfo) -> Survey:
    """Return the notebook of this validation. There is none but in load(), which is the only way to a configuration."""
    if not isinstance(info.context, Survey):
        raise TypeError("a configuration is validated with a Survey as its context")
    return info.context


def _readable(table: Mapping[str, object]) -> tuple[Server, ...]:
    written = table.get("servers")
    found: list[Server] = []
    for text in written if isinstance(written, list) else ():
        try:
            found.append(server(str(text)))
        except ValueError:  # the validation of the backend reports it
            continue
    return tuple(found)
