"""The table [recipients], and [[recipients.sources]]: who can get mail here, and where that is known from.

A file is read when the configuration is, as a certificate is: one that nobody could use is found by `check`, and not
when all mail is deferred for want of it.
"""

import importlib.util
import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from smtproxy.app.config.addresses import literal
from smtproxy.app.config.backends import checked_name
from smtproxy.app.config.checks import OnError
from smtproxy.app.config.domains import ANY, OwnDomain, checked_domain, checked_domains
from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import LIST, STRICT
from smtproxy.app.config.tls import Authorities, File, OptionalFile
from smtproxy.app.config.units import Count, Duration, show_seconds
from smtproxy.lookups.recipients.callout import CalloutSettings
from smtproxy.lookups.recipients.directory import DirectorySettings
from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.file import FileSettings, load
from smtproxy.lookups.recipients.ldap import LdapSettings
from smtproxy.lookups.recipients.learned import LONGEST, LearnedSettings
from smtproxy.lookups.recipients.spelling import Spelling
from smtproxy.policy import findings

DELIMITERS: Final = frozenset("+-=#_")
"""Characters that may begin a tag. A letter or a dot would cut names apart."""
_URL: Final = re.compile(r"(ldaps?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?/?", re.ASCII)


def _ours(domains: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Refuse a domain that no listener takes mail for: a slip of the pen would leave the right one unchecked."""
    known = survey_of(info).domains
    for domain in domains:
        if domain == ANY:
            raise ValueError('"*" is no domain here; leave `domains` out, and all of ours are meant')
        if known and ANY not in known and domain not in known:
            raise ValueError(f'"{domain}" is not among the domains of any listener')
    return domains


Domains = Annotated[tuple[OwnDomain, ...], LIST, AfterValidator(checked_domains), AfterValidator(_ours)]


def _own_name(name: str, info: ValidationInfo) -> str:
    notes = survey_of(info)
    if checked_name(name) in notes.sources:
        raise ValueError(f'another source is called "{name}" already: give each a name of its own')
    notes.sources.add(name)
    return name


SourceName = Annotated[
    str, AfterValidator(_own_name), Field(validate_default=True, description="Its name in log lines and answers.")
]
SourceDomains = Annotated[
    Domains, Field(description="Domains it knows the recipients of, all of them. Empty: those of all listeners.")
]


def _delimiter(value: str) -> str:
    if not set(value) <= DELIMITERS:
        raise ValueError(f'may have the characters {" ".join(sorted(DELIMITERS))} only, as in "+"')
    return value


class FileRecipients(BaseModel):
    """A file: one address a line, Exchange's `Get-Recipient` as CSV, or LDIF. Read again whenever it changes."""

    model_config = STRICT
    kind: Literal["file"] = Field(description="What kind of source it is.")
    name: SourceName = "file"
    domains: SourceDomains = ()
    path: Annotated[File, Field(description="The file; relative to the directory of the configuration.")]
    shrink: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description="How much of its addresses, in percent, a new version may lack without being taken for "
            "half-written. `smtproxy recipients refresh` takes it all the same.",
        ),
    ] = 50

    _size: int = PrivateAttr(default=0)

    @model_validator(mode="after")
    def _can_be_read(self) -> "FileRecipients":
        try:
            self._size = len(load(self.path, Spelling())[1])
        except SourceError as error:
            raise ValueError(f"{self.path.name}: {error}") from None
        return self

    @property
    def words(self) -> str:
        """What there is to say of it, for people."""
        return f"{self.path}, {self._size} addresses; a version that lacks more than {self.shrink} % waits"

    @property
    def settings(self) -> FileSettings:
        """What the source is to know."""
        return FileSettings(self.name, self.path, frozenset(self.domains), self.shrink / 100)


def _url(value: object) -> str:
    found = _URL.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be like "ldaps://dc1.example.org:3269" or "ldap://dc1.example.org:3268"')
    host = checked_domain(found[2]) if literal(found[2].strip("[]")) is None else found[2]
    return f"{found[1]}://{host}{found[3] or ''}"


def _filter(value: str) -> str:
    if not (value.startswith("(") and value.endswith(")") and value.count("(") == value.count(")")):
        raise ValueError('must be a filter of LDAP (RFC 4515), as in "(objectClass=*)"')
    return value


class LdapRecipients(BaseModel):
    """A directory, asked by LDAP: Active Directory with Exchange's attributes, or another one. All of it is read again
    and again; RCPT never waits for it.
    """

    model_config = STRICT
    kind: Literal["ldap"] = Field(description="What kind of source it is.")
    name: SourceName = "ldap"
    domains: SourceDomains = ()
    servers: Annotated[
        tuple[Annotated[str, BeforeValidator(_url)], ...],
        LIST,
        Field(
            min_length=1,
            description="URLs of the servers, tried in this order. A global catalog (3268, with TLS 3269) knows the "
            "whole forest.",
        ),
    ]
    base: Annotated[str, Field(description='Where in the tree to begin; "" is the whole forest of a global catalog.')]
    filter: Annotated[
        str,
        AfterValidator(_filter),
        Field(
            description="Which objects are recipients. Disabled accounts are: shared and room mailboxes are disabled "
            "accounts. Groups without an address are read for the lists of who may send."
        ),
    ] = "(|(proxyAddresses=*)(mail=*)(member=*))"
    starttls: bool = Field(
        default=True, description="Begin TLS on ldap://; the certificate is verified. false: password in clear text."
    )
    tls_ca: Annotated[
        Authorities, Field(description="File (PEM) of the certificates that are trusted. Empty: those of the system.")
    ] = None
    user: Annotated[str, Field(description="Who asks, a DN or user@domain. Empty: anonymous.")] = ""
    password_file: Annotated[
        OptionalFile, Field(validate_default=True, description="File with the password in its only line.")
    ] = None
    timeout: Annotated[Duration, Field(description="How long a server may take for all of it.")] = 30.0
    refresh: Annotated[Duration, Field(description="How often all of it is read.")] = 300.0
    max_age: Annotated[
        Duration,
        Field(
            description="When a copy is too old: it is alarmed in the log, and whom it lacks gets 451, not 550.",
        ),
    ] = 86400.0
    shrink: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description="How much of its addresses, in percent, may be gone at once without being doubted.",
        ),
    ] = 50

    @field_validator("servers", mode="after")
    @classmethod
    def _can_be_asked(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        if importlib.util.find_spec("bonsai") is None:
            raise ValueError("the Python package bonsai is missing, which asks them: pip install 'smtproxy[ldap]'")
        return servers

    @field_validator("password_file", mode="after")
    @classmethod
    def _of_somebody(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if (path is None) == bool(info.data.get("user")) and "user" in info.data:
            raise ValueError("user and password_file stand together, or neither of them")
        if path is not None and not os.access(path, os.R_OK):
            raise ValueError("cannot be read")
        return path

    @property
    def words(self) -> str:
        """What there is to say of it, for people."""
        secure = all(one.startswith("ldaps:") for one in self.servers) or self.starttls
        how = "under TLS" if secure else "in CLEAR TEXT"
        return (
            f"{', '.join(self.servers)} {how}, below {self.base!r}, read every {show_seconds(self.refresh)}, too old "
            f"after {show_seconds(self.max_age)}"
        )

    @property
    def directory(self) -> DirectorySettings:
        """How it is asked."""
        return DirectorySettings(
            self.servers,
            self.base,
            self.filter,
            self.starttls,
            self.tls_ca,
            self.user,
            self.password_file,
            self.timeout,
        )

    def settings(self, state: Path | None) -> LdapSettings:
        """What the source is to know; `state`: the directory for what survives a restart."""
        copy = None if state is None else state / f"recipients-{self.name}.json"
        return LdapSettings(self.name, frozenset(self.domains), self.refresh, self.max_age, self.shrink / 100, copy)


class LearnedRecipients(BaseModel):
    """What the backend's own refusals teach: whom it does not know it is not asked for again for a while. Of anybody
    else this source says nothing.
    """

    model_config = STRICT
    kind: Literal["learned"] = Field(description="What kind of source it is.")
    name: SourceName = "learned"
    domains: SourceDomains = ()
    lives: Annotated[
        Duration, Field(le=LONGEST, description=f"How long a refusal counts, at most {show_seconds(LONGEST)}.")
    ] = LONGEST

    @property
    def words(self) -> str:
        """What there is to say of it, for people."""
        return f"from the backend's 5.1.1 and 5.1.10, each for {show_seconds(self.lives)}"

    @property
    def settings(self) -> LearnedSettings:
        """What the source is to know."""
        return LearnedSettings(self.name, frozenset(self.domains), self.lives)


def _a_backend(name: str, info: ValidationInfo) -> str:
    notes = survey_of(info)
    if name not in notes.servers:
        raise ValueError(f"there is no [backends.{name}]; there is {', '.join(notes.servers) or 'none'}")
    if notes.is_embedded(name):
        raise ValueError(f'"{name}" is the sample server, which knows nobody')
    return name


def _within_the_wait(seconds: float, info: ValidationInfo) -> float:
    longest = survey_of(info).limits.lookup_time
    if seconds > longest:
        raise ValueError(
            f"must not be above limits.lookup_time, which is {show_seconds(longest)}: RCPT waits no longer"
        )
    return seconds


class CalloutRecipients(BaseModel):
    """The backend itself, or another port of it: it is asked with MAIL FROM:<> and RCPT, and hears RSET, no mail. For
    Exchange a table [backends.hub] with port 2525; at port 25 it takes everybody and bounces later.
    """

    model_config = STRICT
    kind: Literal["callout"] = Field(description="What kind of source it is.")
    name: SourceName = "callout"
    domains: SourceDomains = ()
    backend: Annotated[
        str,
        AfterValidator(_a_backend),
        Field(
            description="Who is asked, the NAME of a [backends.NAME]; it may be one that no listener uses. Its TLS, "
            "health and max_connections count for call-outs, too."
        ),
    ]
    connections: Annotated[Count, Field(description="Connections that each process has for it at most.")] = 2
    timeout: Annotated[
        Duration,
        AfterValidator(_within_the_wait),
        Field(
            description="How long a question may take. Exchange lets whoever asks for an unknown recipient wait for "
            "5 s, unless its connector has a TarpitInterval of 0."
        ),
    ] = 8.0
    exists_lives: Annotated[
        Duration,
        Field(description="How long it is remembered that a recipient exists, or that everybody is taken in a domain."),
    ] = 3600.0
    missing_lives: Annotated[
        Duration, Field(description="How long it is remembered that one does not: a new mailbox hears 550 until then.")
    ] = 300.0

    @property
    def words(self) -> str:
        """What there is to say of it, for people."""
        return (
            f"asks backend {self.backend}, on {self.connections} connections at most, within "
            f"{show_seconds(self.timeout)}; remembers yes for {show_seconds(self.exists_lives)}, no for "
            f"{show_seconds(self.missing_lives)}"
        )

    @property
    def settings(self) -> CalloutSettings:
        """What the source is to know."""
        return CalloutSettings(
            self.name, self.backend, frozenset(self.domains), self.timeout, self.exists_lives, self.missing_lives
        )


AnyRecipients = Annotated[
    FileRecipients | LdapRecipients | CalloutRecipients | LearnedRecipients, Field(discriminator="kind")
]
KINDS: Final = ("file", "ldap", "callout", "learned")
"""Words of `kind`."""


class Recipients(BaseModel):
    """Who can get mail here: whom any source has. Whom all lack is refused; without a source everybody is taken."""

    model_config = STRICT
    on_error: Annotated[
        OnError, Field(description="When a source cannot answer: defer with 451, or pass as if there were none.")
    ] = findings.OnError.DEFER
    accept_postmaster: bool = Field(
        default=True,
        description="Take mail for postmaster whether a source has that address or not (RFC 5321 4.5.1).",
    )
    case_sensitive: bool = Field(default=False, description="Whether the case of local parts counts.")
    delimiter: Annotated[
        str,
        AfterValidator(_delimiter),
        Field(
            description='What begins a tag, as in "+": user+tag@ is looked up as user@, too. Empty: there are no tags, '
            "as Exchange has none unless it is told so."
        ),
    ] = ""
    catch_all: Annotated[Domains, Field(description="Domains in which every address exists.")] = ()
    sources: Annotated[
        tuple[AnyRecipients, ...],
        LIST,
        Field(description="Where recipients are known from, in this order: tables [[recipients.sources]], see below."),
    ] = ()

    @property
    def spelling(self) -> Spelling:
        """How addresses are compared."""
        return Spelling(self.case_sensitive, self.delimiter)
