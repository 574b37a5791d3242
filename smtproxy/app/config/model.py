"""The configuration as a whole: what each table of the file may hold, with its default and what it means.

The names are a contract (tools depend on them): what was published once must never change its meaning. A value of these
classes is right by construction; only `load` makes them.
"""

import os
import socket
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationInfo

from smtproxy.app.config.backends import Backend, checked_name
from smtproxy.app.config.bounds import FromTable
from smtproxy.app.config.checks import Checks
from smtproxy.app.config.dns import Dns
from smtproxy.app.config.domains import checked_domain
from smtproxy.app.config.greylist import Greylist
from smtproxy.app.config.judging import Exemption, Governor, PolicyBlock, Score
from smtproxy.app.config.listeners import Listener
from smtproxy.app.config.lists import DnsListTable
from smtproxy.app.config.overload import Overload
from smtproxy.app.config.profiles import Profile
from smtproxy.app.config.quotas import Quotas
from smtproxy.app.config.rate_limits import MOST as MOST_LIMITS
from smtproxy.app.config.rate_limits import RateLimit
from smtproxy.app.config.recipients import Recipients
from smtproxy.app.config.reputation import Reputation
from smtproxy.app.config.rules import MOST, Rule
from smtproxy.app.config.store import Store
from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import LIST, STRICT, member_of, one_of
from smtproxy.app.config.tarpit import Tarpit
from smtproxy.app.config.units import Duration
from smtproxy.network.load import processors
from smtproxy.session.limits import Limits

_TABLE: Final = STRICT | ConfigDict(validate_default=True)


def system_name() -> str:
    """Return the fully qualified name of this system, or "localhost" if it has none that may stand in a dialogue."""
    name = socket.gethostname()
    if "." not in name:  # a name that is whole needs no look into the hosts file or the DNS
        name = socket.getfqdn(name)
    try:
        return checked_domain(name)
    except ValueError:
        return "localhost"


MOST_WORKERS: Final = 64
"""Beyond that the lock on the ceilings (network/ceiling.py) would be the limit, and nobody has measured it."""


def _workers(value: object) -> object:
    if value == "auto":
        return min(processors(), MOST_WORKERS)
    if type(value) is not int or not 1 <= value <= MOST_WORKERS:
        raise ValueError(f'must be a number from 1 to {MOST_WORKERS}, or "auto" for one per core')
    return value


def _beside_the_file(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be the path of a directory")
    return survey_of(info).path.absolute().parent / value


def _empty() -> Any:  # noqa: ANN401 - a table, until validation makes it what the field says
    """Return the table that is not in the file; `validate_default` reads it like one that is."""
    return {}


def _contact(value: str) -> str:
    if len(value) > LONGEST_CONTACT or not (value.isascii() and value.isprintable()):
        raise ValueError(f"must be at most {LONGEST_CONTACT} printable ASCII characters: it stands in a reply")
    return value


LONGEST_CONTACT: Final = 200
"""A line of a reply has at most 512 octets (RFC 5321 4.5.3.1.5), some clients show no more than half of it."""


def _state(value: object, info: ValidationInfo) -> Path | None:
    if value in (None, ""):
        return None
    path = _beside_the_file(value, info)
    if not path.is_dir() or not os.access(path, os.W_OK):
        raise ValueError("must be a directory that is there and can be written to")
    survey_of(info).state = path
    return path


class Server(BaseModel):
    """The table [server]: this smtproxy as a whole."""

    model_config = _TABLE
    hostname: Annotated[
        str,
        AfterValidator(checked_domain),
        Field(
            default_factory=system_name,
            description="Our name in banner, EHLO answer and trace headers. Default: the full name of the system.",
        ),
    ]
    workers: Annotated[
        int,
        BeforeValidator(_workers),
        Field(
            description='Processes that serve sessions; "auto" starts one for each core that this process may use (its '
            "affinity, or the quota of its control group). Changed by a restart only.",
        ),
    ] = 1
    contact: Annotated[
        str,
        AfterValidator(_contact),
        Field(
            description='Where a sender who was refused finds help, as in "https://example.org/mail?id={session}" or '
            '"+49 30 1234": a line of its own in front of the reason. {session} becomes the id of the session.'
        ),
    ] = ""
    drain_timeout: Annotated[
        Duration, Field(description="How long running sessions may go on after SIGTERM before they are cut off.")
    ] = 60.0
    state: Annotated[
        Path | None,
        BeforeValidator(_state),
        Field(
            description="Directory for what is to survive a restart: the last good copy of an LDAP directory, "
            "and the store (see [store]). The sockets that `smtproxy recipients` and `smtproxy reputation` ask are "
            "there, too. Relative to the directory of the configuration; empty: nothing survives."
        ),
    ] = None


class Sample(BaseModel):
    """The table [sample]: the embedded sample backend."""

    model_config = _TABLE
    directory: Annotated[
        Path,
        BeforeValidator(_beside_the_file),
        Field(
            description="Where it writes each mail as an .eml file; relative to the directory of the configuration.",
        ),
    ] = "var/mail"  # type: ignore[assignment] # the validator makes it a path beside the configuration


class Log(BaseModel):
    """The table [log]."""

    model_config = _TABLE
    format: Annotated[
        Literal["json", "console", "auto"],
        one_of(["json", "console", "auto"]),
        Field(description="json: one object a line; console: for people; auto: console on a terminal, json elsewhere."),
    ] = "auto"


class Config(BaseModel):
    """The whole file. The order of the fields matters: what is validated first may be looked up later (see Survey)."""

    model_config = _TABLE
    server: Server = Field(default_factory=_empty, description="This smtproxy as a whole.")
    bounds: Annotated[
        Limits, FromTable(), Field(default_factory=_empty, description="Bounds of sessions, bodies and waits.")
    ]
    log: Log = Field(default=Log(), description="The log on standard output.")
    sample: Sample = Field(default_factory=_empty, description="The embedded sample backend.")
    dns: Dns = Field(default=Dns(), description="Who is asked for names, and how much is remembered.")
    store: Store = Field(default_factory=_empty, description="What is remembered of clients and senders.")
    reputation: Reputation = Field(default=Reputation(), description="When a client goes to the penalty box.")
    profile: Annotated[
        Profile,
        member_of(Profile),
        Field(
            description="What judgements do where the file says nothing: observe refuses nothing; cautious only what "
            "no honest sender does; strict is for those who have read their log. docs/checks.md has it check by check."
        ),
    ] = Profile.CAUTIOUS.value  # type: ignore[assignment] # the validator makes it the member
    lists: Annotated[
        tuple[DnsListTable, ...], LIST, Field(description="Lists of the DNS (DNSBL, DNSWL), for [checks.dnsbl].")
    ] = ()
    checks: Checks = Field(default=Checks(), description="What is judged, and what follows.")
    rules: Annotated[
        tuple[Rule, ...],
        LIST,
        Field(max_length=MOST, description="What no check covers, in an expression language."),
    ] = ()
    limits: Annotated[
        tuple[RateLimit, ...],
        LIST,
        Field(max_length=MOST_LIMITS, description="How much may come in a time. By default those of the profile."),
    ] = ()
    quotas: Quotas = Field(default=Quotas(), description="How many connections one client may have.")
    soft_bounce: bool = Field(
        default=False, description="Say 4xx wherever smtproxy itself would say 5xx: nothing is refused for good."
    )
    score: Score = Field(default=Score(), description="What follows from a sum of findings.")
    greylist: Greylist = Field(default=Greylist(), description="Who is suspicious and unknown is asked to come again.")
    default_exemptions: bool = Field(
        default=True,
        description="This machine itself is exempt from all judgements, and postmaster and abuse of every domain from "
        "those that believe lists.",
    )
    exemptions: Annotated[
        tuple[Exemption, ...], LIST, Field(description="Whom judgements are not for, besides the default ones.")
    ] = ()
    policy: Annotated[tuple[PolicyBlock, ...], LIST, Field(description="Other settings of judgements, for some.")] = ()
    governor: Governor = Field(default=Governor(), description="Keeps a check that goes mad from refusing for good.")
    overload: Overload = Field(default=Overload(), description="What happens when there is too much to do.")
    tarpit: Tarpit = Field(default=Tarpit(), description="How long the action tarpit delays, and how many at once.")
    backends: Annotated[
        dict[Annotated[str, AfterValidator(checked_name)], Backend],
        Field(min_length=1, description="The mail servers behind smtproxy, by name."),
    ]
    listeners: Annotated[
        tuple[Listener, ...],
        LIST,
        Field(min_length=1, description="Where mail is accepted, and for whom."),
    ]
    recipients: Recipients = Field(default=Recipients(), description="Who can get mail here.")

    _path: Path = PrivateAttr(default=Path())

    def model_post_init(self, context: object) -> None:
        """Remember where this configuration came from."""
        self._path = getattr(context, "path", self._path)

    @property
    def path(self) -> Path:
        """The file it was loaded from, as it was named."""
        return self._path
