"""The table [recipients], and [[recipients.sources]]: who can get mail here, and where that is known from.

A file is read when the configuration is, as a certificate is: one that nobody could use is found by `check`, and not
when all mail is deferred for want of it.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, ValidationInfo, model_validator

from smtproxy.app.config.backends import checked_name
from smtproxy.app.config.checks import OnError
from smtproxy.app.config.domains import ANY, OwnDomain, checked_domains
from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import LIST, STRICT, one_of
from smtproxy.app.config.tls import File
from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.file import FileSettings, load
from smtproxy.lookups.recipients.spelling import Spelling
from smtproxy.policy import findings

DELIMITERS: Final = frozenset("+-=#_")
"""Characters that may begin a tag. A letter or a dot would cut names apart."""


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
    kind: Annotated[Literal["file"], one_of(["file"]), Field(description="What kind of source it is.")]
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
        tuple[FileRecipients, ...],
        LIST,
        Field(description="Where recipients are known from, in this order: tables [[recipients.sources]], see below."),
    ] = ()

    @property
    def spelling(self) -> Spelling:
        """How addresses are compared."""
        return Spelling(self.case_sensitive, self.delimiter)
