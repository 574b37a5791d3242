"""What workers have seen of the servers: told to the supervisor, and what those begin with who are forked later.

While all places at a server are in use, a worker cannot probe it. It would have nothing to promise to its clients, and
turn each of them away: a reload in a busy hour, or one worker that died, would be an outage.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from smtproxy.app.config import Config
from smtproxy.network.pool import Sighting
from smtproxy.wire.ehlo import Capabilities

LONGEST = 4096
"""Octets of a sighting that is passed on: a server that offers more has to be seen by each worker for itself."""

_Key: TypeAlias = tuple[object, ...]


class Sightings:
    """The last sighting of each server."""

    def __init__(self) -> None:
        """Begin with none."""
        self._last: dict[_Key, Sighting] = {}

    def of(self, config: Config, backend: str) -> Mapping[str, Sighting]:
        """Return those of a backend's servers, by their name, as far as they were seen under the same settings."""
        servers = map(str, config.backends[backend].servers)
        return {one: self._last[key] for one in servers if (key := _key(config, backend, one)) in self._last}

    def note(self, config: Config, backend: str, server: str, sighting: Sighting) -> bool:
        """Keep a sighting made under a configuration; return whether it is news."""
        key = _key(config, backend, server)
        is_news = self._last.get(key) != sighting
        self._last[key] = sighting
        return is_news

    def read(self, config: Config, text: str) -> None:
        """Keep what a worker wrote."""
        backend, server, keywords, extended, family, address = json.loads(text)
        capabilities = Capabilities(tuple((keyword, arguments) for keyword, arguments in keywords))
        host, port = address
        self.note(config, backend, server, Sighting(capabilities, extended, (family, (host, port))))


def written(backend: str, server: str, sighting: Sighting) -> Iterator[str]:
    """Write a sighting as one line; nothing if it is too long."""
    family, address = sighting.address
    text = json.dumps([backend, server, sighting.capabilities.keywords, sighting.extended, family, address])
    if len(text) <= LONGEST:
        yield text


def _key(config: Config, backend: str, server: str) -> _Key:
    """What a server offers depends on whether it speaks TLS, and another backend may be another connector of it."""
    one = config.backends[backend]
    return backend, server, one.tls, one.tls_ca, one.tls_name, one.tls_oldest
