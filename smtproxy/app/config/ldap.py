"""The table [[recipients.sources]] of kind "ldap": a directory, how it is asked, and how much."""

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
    ValidationInfo,
    field_validator,
)

from smtproxy.app.config.addresses import literal
from smtproxy.app.config.domains import checked_domain
from smtproxy.app.config.source_names import SourceDomains, SourceName
from smtproxy.app.config.tables import LIST, STRICT
from smtproxy.app.config.tls import Authorities, OptionalFile
from smtproxy.app.config.units import Duration, Pause, show_seconds
from smtproxy.lookups.recipients.connecting import DirectorySettings
from smtproxy.lookups.recipients.ldap import LdapSettings
from smtproxy.lookups.recipients.questions import QuestionSettings

_URL: Final = re.compile(r"(ldaps?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?/?", re.ASCII)


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
    and again, and changes of Active Directory in between; an address that the copy lacks is asked for before it is
    called missing.
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
    read: Annotated[
        Literal["all", "asked"],
        Field(
            description='"all": all of it is read, every `refresh`. "asked": nothing is, and each address is asked '
            "for, as a directory may be too large, or forbid to be read. Lists of those who may send to "
            "somebody are left to the backend then."
        ),
    ] = "all"
    ask_missing: Annotated[
        bool,
        Field(
            description="Ask for an address that the copy lacks before it is called missing: a mailbox that was just "
            "made gets its mail. While the directory does not answer the copy decides."
        ),
    ] = True
    ask_timeout: Annotated[
        Duration, Field(description="How long the question about one address may take, all servers included.")
    ] = 4.0
    positive_ttl: Annotated[
        Duration,
        Field(
            description="How long the answer counts that an address exists, at most until all is read again; while "
            "the directory does not answer, up to `max_age`."
        ),
    ] = 900.0
    negative_ttl: Annotated[
        Duration, Field(description="How long the answer counts that an address is missing; never beyond `refresh`.")
    ] = 60.0
    questions_per_minute: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="How many addresses are asked for, at most, by each worker. Beyond it the copy decides; "
            "without one RCPT hears 451.",
        ),
    ] = 3000
    changes: Annotated[
        Pause,
        Field(
            description="How often Active Directory is asked for what has changed (uSNChanged) between two "
            "readings; 0: never. Deleted objects are seen by the next reading alone. Costs some half a kilobyte of "
            "memory an object, in each worker; nothing where the directory has no uSNChanged."
        ),
    ] = 15.0
    accepted_domains: Annotated[
        bool,
        Field(
            description="Read Exchange's accepted domains too: an address is missing in an authoritative domain only, "
            "and in a relay domain, or one that is not accepted, it is the backend's matter. A server on 3268 or 3269 "
            "is asked on 389 or 636 for them. `domains` of the listeners stay as they are; differences are logged "
            "(`recipients_domains`)."
        ),
    ] = False
    configuration_base: Annotated[
        str,
        Field(
            description="Below which object the accepted domains are; empty: as the server says "
            "(configurationNamingContext)."
        ),
    ] = ""

    @field_validator("ask_missing", mode="after")
    @classmethod
    def _asks_somehow(cls, ask: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - the value of a setting
        if not ask and info.data.get("read") == "asked":
            raise ValueError('with read = "asked" nothing is known of an address but what is asked')
        return ask

    @field_validator("negative_ttl", mode="after")
    @classmethod
    def _is_no_longer_than_a_reading(cls, ttl: float, info: ValidationInfo) -> float:
        refresh = info.data.get("refresh")
        if refresh is not None and ttl > refresh:
            raise ValueError("must not be longer than `refresh`: the next reading may know better")
        return ttl

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
        asked = f"at most {self.questions_per_minute} a minute"
        if self.read == "asked":
            reading = f"each address asked for, {asked}"
        else:
            reading = f"read every {show_seconds(self.refresh)}, too old after {show_seconds(self.max_age)}"
            reading += f"; whom it lacks is asked for, {asked}" if self.ask_missing else ""
        accepted = "; missing in accepted domains that are authoritative" if self.accepted_domains else ""
        return f"{', '.join(self.servers)} {how}, below {self.base!r}, {reading}{accepted}"

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
            self.ask_timeout,
            self.configuration_base,
        )

    def settings(self, state: Path | None, ours: frozenset[str] | None = None) -> LdapSettings:
        """What the source is to know; `state`: the directory for what survives a restart; `ours`: all our domains."""
        negative = min(self.negative_ttl, self.refresh)
        return LdapSettings(
            self.name,
            frozenset(self.domains),
            self.refresh,
            self.max_age,
            self.shrink / 100,
            None if state is None else state / f"recipients-{self.name}.json",
            reads=self.read == "all",
            asks=self.ask_missing,
            changes=self.changes,
            questions=QuestionSettings(self.positive_ttl, negative, self.questions_per_minute, self.max_age),
            accepted_domains=self.accepted_domains,
            accepted_copy=None if state is None else state / f"recipients-{self.name}-domains.json",
            ours=ours,
        )
