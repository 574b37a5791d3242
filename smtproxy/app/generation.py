"""A generation: what all workers of one configuration inherit, opened and read before the first of them is forked.

So whatever can be wrong with files and addresses is found by the supervisor, which can say no to a reload; and a worker
that takes the place of one that died begins with the same, whatever has become of the files meanwhile.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smtproxy.app.assembly import server_tls, tls
from smtproxy.app.bindings import Arrangement, Bindings
from smtproxy.app.config import Config
from smtproxy.network.tls import ServerTls


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """The configuration, and what was made of it."""

    config: Config
    arrangement: Arrangement
    contexts: Sequence[ssl.SSLContext | None]
    """How each listener speaks TLS. One context for all workers: they share the key of its session tickets, so a client
    may resume with any of them."""
    servers: Mapping[str, ServerTls]
    """How the servers of each backend are spoken to."""


def prepare(config: Config, bindings: Bindings) -> Generation:
    """Make a generation; settle or discard what was bound for it. Raises BindError, CertificateError."""
    contexts = [tls(listener) for listener in config.listeners]
    servers = {name: server_tls(backend) for name, backend in config.backends.items()}
    return Generation(config, bindings.arrange(config), contexts, servers)
