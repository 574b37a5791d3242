"""From the configuration to what is asked outside: the resolver's settings, and the lookups."""

from smtproxy.app.config import Config
from smtproxy.network.dns.resolver import DnsSettings
from smtproxy.network.dns.servers import system_servers
from smtproxy.network.sockets import Endpoint


def dns_settings(config: Config) -> DnsSettings:
    """Return how the DNS is asked. Reads resolv.conf where the configuration names no server."""
    table = config.dns
    return DnsSettings(
        tuple(Endpoint(one.host, one.port) for one in table.servers) or system_servers(),
        table.timeout,
        table.attempt,
        table.concurrent,
        table.per_session,
        table.cache_entries,
        table.cache_memory,
        table.longest_ttl,
        table.longest_negative_ttl,
    )
