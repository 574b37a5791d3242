"""The connection to a server of the Redis protocol, or to a cluster: coredis, which is an extra ("valkey").

It must not repeat an operation: whoever asks has a deadline, and a take that is done twice is charged twice.
"""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any, cast

import coredis
from coredis.connection import TCPLocation
from coredis.exceptions import NoScriptError
from coredis.retry import NoRetryPolicy

from smtproxy.stores.valkey import Server

CONNECTIONS = 8
"""Of each worker. One does some 2,000 operations a second, as many as a worker has use for."""


@dataclass(frozen=True, slots=True)
class ValkeySettings:
    """Where the server is, and who we are there."""

    servers: tuple[tuple[str, int], ...]
    """Hosts and ports. The first one; of a cluster, those that are asked for the others."""
    cluster: bool = False
    user: str = ""
    password: str = ""
    database: int = 0
    tls: bool = False
    tls_ca: Path | None = None
    """Certificates that are trusted; None: those of the system."""


class Client:
    """A connected server."""

    def __init__(self, client: "coredis.Redis[bytes] | coredis.RedisCluster[bytes]") -> None:
        """Use a client that is open."""
        self._client = client
        self._hashes: dict[str, str] = {}

    async def run(self, script: str, name: str, arguments: Sequence[str]) -> Sequence[bytes]:
        """Run a script on one key; one that the server does not know (yet, or after a restart) is sent whole."""
        digest = self._hashes.get(script)
        if digest is None:
            digest = self._hashes[script] = sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            found = await self._client.evalsha(digest, keys=[name], args=list(arguments))
        except NoScriptError:
            found = await self._client.eval(script, keys=[name], args=list(arguments))
        return cast("Sequence[bytes]", found)

    async def names(self, prefix: str) -> list[str]:
        """Return all keys that begin so."""
        literal = "".join(f"\\{letter}" if letter in "*?[]\\^" else letter for letter in prefix)
        found = [name async for name in self._client.scan_iter(match=f"{literal}*", count=1000)]
        return sorted({name.decode(errors="replace") for name in found})

    async def delete(self, names: Sequence[str]) -> int:
        """Delete keys."""
        return int(await self._client.delete(list(names)))


@asynccontextmanager
async def connect(settings: ValkeySettings) -> AsyncIterator[Server]:
    """Connect, and close again."""
    common: dict[str, Any] = {
        "username": settings.user or None,
        "password": settings.password or None,
        "max_connections": CONNECTIONS,
        "retry_policy": NoRetryPolicy(),
        "verify_version": False,
    }
    if settings.tls:
        common["ssl_context"] = ssl.create_default_context(cafile=settings.tls_ca)
    host, port = settings.servers[0]
    client: coredis.Redis[bytes] | coredis.RedisCluster[bytes]
    if settings.cluster:
        nodes = [TCPLocation(*one) for one in settings.servers]
        client = coredis.RedisCluster(startup_nodes=nodes, decode_responses=False, **common)
    else:
        client = coredis.Redis(host, port, settings.database, decode_responses=False, **common)
    async with client:
        yield Client(client)
