"""The tables [backends.NAME]: the real mail servers behind smtproxy, or the sample server that is embedded in it.

Must never decide how a server is used; that is the backend pool's matter.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from smtproxy.app.config.addresses import Address, Embedded, Server, server
from smtproxy.app.config.domains import checked_domain
from smtproxy.app.config.tables import LIST, STRICT, member_of
from smtproxy.app.config.tls import Authorities
from smtproxy.app.config.units import LARGEST, Count, Duration
from smtproxy.network.tls import Version
from smtproxy.session.settings import BackendTls, Chunking, OpenMode

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


def checked_name(name: str) -> str:
    """Check the name of a backend or listener: it stands in log lines. Raises ValueError with what is wrong."""
    if not _NAME.fullmatch(name):
        raise ValueError("a name has up to 64 letters, digits and - _ . and begins with a letter or digit")
    return name


def _name(value: str) -> str:
    return checked_domain(value) if value else value


def _read_server(value: object) -> Server:
    if not isinstance(value, str):
        raise ValueError('must be a string like "exchange.example.org:25"')  # noqa: TRY004 - pydantic collects these
    return server(value)


def _listed_once(servers: tuple[Server, ...]) -> tuple[Server, ...]:
    for position, one in enumerate(servers):
        if one in servers[:position]:
            raise ValueError(f'"{one}" is there twice')
        if isinstance(one, Embedded) and len(servers) > 1:
            raise ValueError(f'"{one}" stands alone: mail to it goes nowhere, so it can stand in for no other server')
    return servers


class Idle(BaseModel):
    """Warm connections: kept after a message for the next one, of any session."""

    model_config = STRICT
    connections: int = Field(default=16, ge=0, le=LARGEST, description="How many are kept per server; 0 keeps none.")
    seconds: Annotated[Duration, Field(description="How long one is kept.")] = 5.0


class Backend(BaseModel):
    """One backend: servers that hold the same mailboxes. One mail goes to one of them."""

    model_config = STRICT

    servers: Annotated[
        tuple[Annotated[Address | Embedded, BeforeValidator(_read_server)], ...],
        LIST,
        AfterValidator(_listed_once),
        Field(
            min_length=1,
            description='"host:port", tried in this order (but see weights); or "embedded:exchange", the sample '
            "server, where mail goes nowhere: loopback listeners only.",
        ),
    ]
    weights: Annotated[
        tuple[Count, ...],
        LIST,
        Field(
            description="Shares of the servers, a number for each: [3, 1] gives the first one three connections of "
            "four. Empty: the first one that is up takes all."
        ),
    ] = ()
    max_connections: Annotated[
        Count,
        Field(description="Connections per server, warm ones and probes included. Exchange allows 20 per source."),
    ] = 16
    min_connections: Annotated[
        Count,
        Field(
            description="How many there may always be. Between the two the proxy finds out how many the server stands: "
            "by how fast it answers, and by what it says. As many as max_connections: nothing is adapted."
        ),
    ] = 2
    reserved_share: Annotated[
        float,
        Field(
            ge=0,
            le=0.5,
            description="Of the connections, kept for senders with a good record, whatever strangers there are. "
            "0.125 are two of sixteen, and none of seven.",
        ),
    ] = 0.125
    open: Annotated[
        OpenMode,
        member_of(OpenMode),
        Field(
            description="When a connection is opened: with the first recipient that passed policy, with MAIL, or when "
            "the client connects.",
        ),
    ] = OpenMode.RECIPIENT
    lease: Annotated[
        Duration,
        Field(
            description="A connection that waits this long for its client is given back, and taken anew when needed."
        ),
    ] = 10.0
    idle: Idle = Field(default=Idle(), description="Warm connections kept for the next message.")
    tls: Annotated[
        BackendTls,
        member_of(BackendTls),
        Field(
            description="TLS towards the servers, by STARTTLS. opportunistic: where it can be had, else clear text; "
            "require: or no mail, whosever the certificate is; verify: or no mail, and it must be the server's."
        ),
    ] = BackendTls.OFF
    tls_ca: Annotated[
        Authorities,
        Field(
            description="File (PEM) of the certificates that verify trusts: an authority's, or the server's own. "
            "Empty: those of the system."
        ),
    ] = None
    tls_name: Annotated[
        str,
        AfterValidator(_name),
        Field(description="Whom the certificate must name with verify. Empty: the host in `servers`."),
    ] = ""
    tls_oldest: Annotated[
        Version,
        member_of(Version),
        Field(description='The oldest version of TLS. A server of 2010 may have no other than "1.0".'),
    ] = Version.TLS_1_2
    chunking: Annotated[
        Chunking,
        member_of(Chunking),
        Field(
            description="BDAT towards servers that offer CHUNKING: mirror for clients that use it, always for all, or "
            "never, which withholds BINARYMIME. Clients may use BDAT in any case; a body is converted where it must be."
        ),
    ] = Chunking.MIRROR
    trace_header: bool = Field(default=True, description="Put a Received header field in front of each message.")

    @field_validator("weights", mode="after")
    @classmethod
    def _one_for_each(cls, weights: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        servers = info.data.get("servers", ())
        if weights and servers and len(weights) != len(servers):
            raise ValueError(f"one number for each server: there are {len(weights)}, and servers has {len(servers)}")
        return weights

    @field_validator("min_connections", mode="after")
    @classmethod
    def _not_above_the_ceiling(cls, least: int, info: ValidationInfo) -> int:
        most = info.data.get("max_connections", least)
        if least > most:
            raise ValueError(f"must not be above max_connections, which is {most}")
        return least

    @field_validator("idle", mode="after")
    @classmethod
    def _below_ceiling(cls, idle: Idle, info: ValidationInfo) -> Idle:
        ceiling = info.data.get("max_connections")
        if ceiling is not None and idle.connections > ceiling:
            raise ValueError(f"{idle.connections} warm connections are more than max_connections, which is {ceiling}")
        return idle

    @field_validator("tls", mode="after")
    @classmethod
    def _has_a_certificate(cls, tls: BackendTls, info: ValidationInfo) -> BackendTls:
        if tls is not BackendTls.OFF and any(isinstance(one, Embedded) for one in info.data.get("servers", ())):
            raise ValueError("the sample server speaks no TLS")
        return tls

    @field_validator("tls_ca", "tls_name", mode="after")
    @classmethod
    def _is_looked_at(cls, value: object, info: ValidationInfo) -> object:
        if value and info.data.get("tls", BackendTls.VERIFY) is not BackendTls.VERIFY:
            raise ValueError('counts with tls = "verify" only: without it nobody looks whose certificate it is')
        return value

    @property
    def is_embedded(self) -> bool:
        """Whether its mail goes nowhere."""
        return any(isinstance(one, Embedded) for one in self.servers)
