"""Settings that every source of recipients has: its name, and the domains whose recipients it knows."""

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from smtproxy.app.config.backends import checked_name
from smtproxy.app.config.domains import ANY, OwnDomain, checked_domains
from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import LIST


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
