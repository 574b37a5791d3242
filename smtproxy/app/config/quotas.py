"""The table [quotas]: how many connections one client may have. Must never hold what depends on what a client says."""

from typing import Annotated, Final

from pydantic import BaseModel, Field

from smtproxy.app.config.addresses import ClientNetwork
from smtproxy.app.config.tables import LIST, STRICT
from smtproxy.app.config.units import Count
from smtproxy.policy.client_table import MOST_CONNECTIONS
from smtproxy.policy.quotas import QuotaSettings

_DEFAULT: Final = QuotaSettings()


class Quotas(BaseModel):
    """Connections of one client: an IPv4 address, or a /64 of IPv6, unless the prefixes say otherwise. Above: 421."""

    model_config = STRICT
    connections: Annotated[Count, Field(le=MOST_CONNECTIONS, description="Connections at once.")] = _DEFAULT.connections
    connections_per_minute: Annotated[
        Count, Field(description="New connections a minute; they may all come in one moment.")
    ] = _DEFAULT.connections_per_minute
    ipv4_prefix: Annotated[
        int, Field(ge=8, le=32, description="Leading bits of an IPv4 address that make it one client.")
    ] = _DEFAULT.grouping.ipv4
    ipv6_prefix: Annotated[
        int, Field(ge=16, le=128, description="Leading bits of an IPv6 address that make it one client.")
    ] = _DEFAULT.grouping.ipv6
    exempt: Annotated[
        tuple[ClientNetwork, ...],
        LIST,
        Field(description="Networks whose clients are not counted; by default this machine itself."),
    ] = _DEFAULT.exempt
