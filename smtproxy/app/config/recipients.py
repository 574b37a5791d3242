"""The table [recipients], and [[recipients.sources]]: who can get mail here, and where that is known from.

A file is read when the configuration is, as a certificate is: one that nobody could use is found by `check`, and not
when all mail is deferred for want of it.
"""

from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)

from smtproxy.app.config.checks import OnError
from smtproxy.app.config.ldap import LdapRecipients
from smtproxy.app.config.source_names import Domains, SourceDomains, SourceName
from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import LIST, STRICT
from smtproxy.app.config.tls import File
from smtproxy.app.config.units import Count, Duration, show_seconds
from smtproxy.lookups.recipients.callout import CalloutSettings
from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.file import FileSettings, load
from smtproxy.lookups.recipients.learned import LONGEST, LearnedSettings
from smtproxy.lookups.recipients.spelling import Spelling
from smtproxy.policy import findings

DELIMITERS: Final = frozenset("+-=#_")
"""Characters that may begin a tag. A letter or a dot would cut names apart."""


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
            f"must not be above bounds.lookup_time, which is {show_seconds(longest)}: RCPT waits no longer"
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
