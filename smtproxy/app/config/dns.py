"""The table [dns]: who is asked, how long, how much is remembered. Must never ask the DNS itself."""

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from smtproxy.app.config.addresses import Address, name_server
from smtproxy.app.config.tables import LIST, STRICT
from smtproxy.app.config.units import Count, Duration, Size, show_seconds
from smtproxy.network.dns.resolver import DnsSettings

_DEFAULT: Final = DnsSettings()
_MOST_QUESTIONS: Final = 10_000
"""Each has a file descriptor of its own."""


class Dns(BaseModel):
    """The DNS; each process has a memory of its own. Use a resolver that is near, best one on this machine."""

    model_config = STRICT
    servers: Annotated[
        tuple[Annotated[Address, BeforeValidator(name_server)], ...],
        LIST,
        Field(
            description="Addresses of the name servers, asked in this order. They must look up names for us, as "
            "unbound does; many block lists refuse those of big providers. Empty: those of /etc/resolv.conf."
        ),
    ] = ()
    timeout: Annotated[Duration, Field(description="How long a question may take in all.")] = _DEFAULT.timeout
    attempt: Annotated[
        Duration, Field(description="After this time the next server is asked, or the same one again.")
    ] = _DEFAULT.attempt
    concurrent: Annotated[
        Count,
        Field(le=_MOST_QUESTIONS, description="Questions that each process has open at once; others wait their turn."),
    ] = _DEFAULT.concurrent
    per_lookup: Annotated[
        Count,
        Field(description="Questions that one look-up may cause, as for an SPF record; what is remembered is free."),
    ] = _DEFAULT.per_lookup
    cache_entries: Annotated[Count, Field(description="Answers that each process remembers.")] = _DEFAULT.cache_entries
    cache_memory: Annotated[Size, Field(description="Memory that they may take, in each process.")] = (
        _DEFAULT.cache_memory
    )
    longest_ttl: Annotated[
        Duration, Field(description="An answer is not remembered for longer than this, whatever its TTL.")
    ] = _DEFAULT.longest_ttl
    longest_negative_ttl: Annotated[
        Duration, Field(description="The same for the answer that there is no such name or record (RFC 2308).")
    ] = _DEFAULT.longest_negative_ttl

    @field_validator("attempt", mode="after")
    @classmethod
    def _within_the_whole(cls, value: float, info: ValidationInfo) -> float:
        if value > info.data.get("timeout", value):
            raise ValueError(f"must not be above timeout, which is {show_seconds(info.data['timeout'])}")
        return value
