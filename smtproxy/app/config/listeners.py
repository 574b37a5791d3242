"""The tables [[listeners]]: addresses that accept mail, and what is accepted there for whom.

Must never hold what depends on a check's judgement: a listener says what is ours, not who is good.
"""

from difflib import get_close_matches
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from smtproxy.app.config.addresses import Address, ClientNetwork, bind, literal
from smtproxy.app.config.backends import checked_name
from smtproxy.app.config.domains import ANY, OwnDomain, checked_domains
from smtproxy.app.config.survey import Survey, survey_of
from smtproxy.app.config.tables import LIST, STRICT, member_of, one_of
from smtproxy.app.config.tls import KeyPair, checked_ciphers, one_or_more
from smtproxy.app.config.units import Count, Duration, Pause, Size, show_octets, show_seconds
from smtproxy.network.tls import Version
from smtproxy.session.settings import BodyMode
from smtproxy.wire.newlines import NewlineMode

LATEST_COMMIT: Final = 540.0
"""Seconds. A sender waits 10 minutes for the reply to its final dot (RFC 5321 4.5.3.2.6); the backend needs some."""


def _read_bind(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError('must be a string like "0.0.0.0:25"')  # noqa: TRY004 - pydantic collects ValueErrors
    return bind(value)


def _taken(address: Address, info: ValidationInfo) -> Address:
    """Refuse an address that another listener has, or that is a server of a backend: mail would go in circles."""
    notes = survey_of(info)
    for other in notes.binds if address.port else ():
        if _overlap(address, other):
            how = "is there twice" if address == other else f"and {other} cannot be bound both: one includes the other"
            raise ValueError(f"{address} {how}")
    for name, servers in notes.servers.items():
        for one in servers:
            if isinstance(one, Address) and one.port == address.port and _reaches(one, address):
                raise ValueError(f"{address} is also a server of backends.{name}: mail would go in circles")
    notes.binds.append(address)
    return address


def _overlap(one: Address, other: Address) -> bool:
    same_family = (":" in one.host) == (":" in other.host)
    return one.port == other.port and same_family and (one.host == other.host or one.is_wildcard or other.is_wildcard)


def _reaches(server: Address, listener: Address) -> bool:
    if literal(server.host) is None:
        return server.is_loopback and (listener.is_loopback or listener.is_wildcard)
    same_family = (":" in server.host) == (":" in listener.host)
    return server.host == listener.host or (same_family and listener.is_wildcard and server.is_loopback)


def _own_name(name: str, info: ValidationInfo) -> str:
    notes = survey_of(info)
    if checked_name(name) in notes.names:
        raise ValueError(f'another listener is called "{name}" already')
    notes.names.add(name)
    return name


def _noted(domains: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    survey_of(info).domains.update(domains)
    return domains


class Listener(BaseModel):
    """One listener: a role, its addresses, the backend behind it and the domains it is for."""

    model_config = STRICT

    name: Annotated[
        str, AfterValidator(_own_name), Field(validate_default=True, description="Its name in log lines.")
    ] = "mx"
    role: Annotated[
        Literal["mx"],
        one_of(["mx"], later=["submission", "relay"]),
        Field(description="mx: takes mail from anybody for the domains listed here."),
    ] = "mx"
    bind: Annotated[
        tuple[Annotated[Address, BeforeValidator(_read_bind), AfterValidator(_taken)], ...],
        LIST,
        Field(
            min_length=1,
            description='Addresses to listen on, as in ["0.0.0.0:25", "[::]:25"]; port 0 lets the system choose.',
        ),
    ]
    backend: Annotated[str, Field(description="The backend its mail goes to: NAME of [backends.NAME].")]
    domains: Annotated[
        tuple[OwnDomain, ...],
        LIST,
        AfterValidator(checked_domains),
        AfterValidator(_noted),
        Field(
            min_length=1,
            description='Domains of the recipients that are ours; ["*"] says "anything" on purpose: an open relay, as '
            "far as the backend lets it.",
        ),
    ]
    tls: Annotated[
        tuple[KeyPair, ...],
        BeforeValidator(one_or_more),
        Field(
            description='{ certificate = "FILE", key = "FILE" }, or a list of them: the one that names what the client '
            "asks for (SNI) is shown, else the first. Without it clients speak clear text."
        ),
    ] = ()
    tls_mode: Annotated[
        Literal["starttls", "implicit"],
        one_of(["starttls", "implicit"]),
        Field(description="starttls: in the dialogue, for clients that ask; implicit: from the first octet on."),
    ] = "starttls"
    tls_oldest: Annotated[
        Version,
        member_of(Version),
        Field(
            description="The oldest version of TLS. A sender that has only an older one often falls back to clear text."
        ),
    ] = Version.TLS_1_2
    tls_ciphers: Annotated[
        str,
        AfterValidator(checked_ciphers),
        Field(description="OpenSSL's cipher list for TLS 1.2 and older; empty: OpenSSL's own."),
    ] = ""
    banner_delay: Annotated[
        Pause,
        Field(
            description="How long the banner is held back, to the second, so that the check early_talker sees who "
            "talks before it. Who has waited once in a day, or has had mail delivered before, does not wait. 0: "
            "nobody does, and only what is there already is early.",
        ),
    ] = 0.0
    proxy_protocol: Annotated[
        tuple[ClientNetwork, ...],
        LIST,
        Field(
            description='Networks of balancers, as in ["10.0.0.0/8"]: a connection from there must begin with a PROXY '
            "protocol header (version 1 or 2), and its client is whom the header names. No other one is believed.",
        ),
    ] = ()
    body: Annotated[
        BodyMode,
        member_of(BodyMode),
        Field(
            description="auto: collected in memory up to a bound, then streamed; hold: kept whole, judged, then sent; "
            "stream: sent as it comes, only its end is held until the verdict.",
        ),
    ] = BodyMode.AUTO
    bare_newlines: Annotated[
        NewlineMode,
        member_of(NewlineMode),
        Field(
            description="A bare CR or LF in a body: normalise makes it CRLF; reject answers 554; pass lets it through "
            "unless it touches a line of dots alone.",
        ),
    ] = NewlineMode.NORMALISE
    max_message_size: Annotated[Size, Field(description="Octets of a message; larger ones get 552.")] = 52428800
    max_recipients: Annotated[Count, Field(description="Recipients of a message; more get 452.")] = 1000
    commit_by: Annotated[
        Duration,
        Field(description="This long after the final dot no message is given to the backend any more: 451 instead."),
    ] = 300.0
    authentication_results: Annotated[
        bool,
        Field(
            description="Put an Authentication-Results field with our name in front of each message, and take out "
            "those that claim to be ours (RFC 8601 5). Only where something was looked up: SPF at least.",
        ),
    ] = True
    allow_routing_local_parts: Annotated[
        tuple[OwnDomain, ...],
        LIST,
        AfterValidator(checked_domains),
        Field(
            description="Domains whose mailbox names may have @, % or ! in them, or begin with IMCEASMTP-. Old servers "
            "read such a name as another address and relay to it: an open relay.",
        ),
    ] = ()

    @field_validator("backend", mode="after")
    @classmethod
    def _exists(cls, name: str, info: ValidationInfo) -> str:
        notes = survey_of(info)
        if name not in notes.servers:
            raise ValueError(_no_backend(name, notes))
        outside = [str(one) for one in info.data.get("bind", ()) if not one.is_loopback]
        if outside and notes.is_embedded(name):
            raise ValueError(
                f'"{name}" is an embedded sample server, where mail goes nowhere: it needs listeners on loopback '
                f"addresses only, and this one is also on {', '.join(outside)}"
            )
        return name

    @field_validator("max_message_size", mode="after")
    @classmethod
    def _below_ceiling(cls, size: int, info: ValidationInfo) -> int:
        limits = survey_of(info).limits
        for name in ("message_ceiling", "body_disk_total"):
            if size > (bound := getattr(limits, name)):
                raise ValueError(f"is above bounds.{name}, which is {show_octets(bound)}")
        return size

    @field_validator("commit_by", mode="after")
    @classmethod
    def _in_time(cls, value: float) -> float:
        if value > LATEST_COMMIT:
            raise ValueError(
                f"must not be above {show_seconds(LATEST_COMMIT)}: the sender gives up after 10 minutes (RFC 5321 "
                "4.5.3.2.6) and would send the message again"
            )
        return value

    @field_validator("allow_routing_local_parts", mode="after")
    @classmethod
    def _is_ours(cls, values: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        domains = info.data.get("domains", (ANY,))
        for value in values:
            if value not in domains and ANY not in domains:
                raise ValueError(f'"{value}" is not among the domains of this listener')
        return values


def _no_backend(name: str, notes: Survey) -> str:
    known = get_close_matches(name, notes.servers, n=1) or sorted(notes.servers)[:10]
    meant = " or ".join(f'"{one}"' for one in known)
    return f'there is no backend "{name}"' + (f"; did you mean {meant}?" if known else ", and no other one")
