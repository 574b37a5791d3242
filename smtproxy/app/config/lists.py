"""The tables [[lists]]: lists of the DNS, and what their answers weigh. What follows is the matter of [checks.dnsbl].

None comes with smtproxy: their owners have terms of use, and whom to believe is the administrator's decision.
"""

import re
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from smtproxy.app.config.checks import number
from smtproxy.app.config.domains import checked_domain
from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import LIST, STRICT, one_of
from smtproxy.lookups.answer_filter import AnswerFilter, answer_filter
from smtproxy.lookups.listings import Subject

SUBJECTS: Final = tuple(subject.value for subject in Subject)
AUTO: Final = "auto"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)


def _name(value: str) -> str:
    """A name stands in replies and in the log."""
    if not _NAME.fullmatch(value):
        raise ValueError(f'"{value}" is no name: up to 40 letters, digits, ".", "-" and "_"')
    return value


def _point(value: str) -> str:
    if value in (AUTO, ""):
        return value
    try:
        return str(ip_address(value))
    except ValueError:
        return checked_domain(value)


def _weight(value: object) -> float:
    if (found := number(value)) == 0:
        raise ValueError("must not be 0: such a list would be asked for nothing")
    return found


def _filters(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError('must be a list of strings, as in ["127.0.0.[2..11]"]')
    return tuple(map(answer_filter, value))


class DnsListTable(BaseModel):
    """A list of the DNS (DNSBL, DNSWL); several tables may have the same zone, with other answers and weights."""

    model_config = STRICT | {"arbitrary_types_allowed": True}
    name: Annotated[
        str, AfterValidator(_name), Field(description="What replies and log call it: its zone may hold a secret key.")
    ]
    zone: Annotated[str, AfterValidator(checked_domain), Field(description="Where its names are.")]
    subjects: Annotated[
        tuple[Annotated[Literal["client", "reverse_name", "hello", "sender"], one_of(SUBJECTS)], ...],
        LIST,
        Field(
            min_length=1,
            description="What it is asked about. client: the address. reverse_name: the name of the address, if that "
            "leads back to it. hello: the name in EHLO. sender: the domain of MAIL FROM.",
        ),
    ] = ("client",)
    weight: Annotated[
        float,
        BeforeValidator(_weight),
        Field(description="What it counts, once, whatever it has; negative for an allow list."),
    ] = 1.0
    answers: Annotated[
        tuple[AnswerFilter, ...],
        BeforeValidator(_filters),
        Field(description='Answers that count, as in ["127.0.0.[2..11]", "127.0.1.[2;4;6..8]"]. Empty: all.'),
    ] = ()
    test_listed: Annotated[
        str,
        AfterValidator(_point),
        Field(
            description="What it must have, an address or a domain, or it is not believed. auto: 127.0.0.2 and the "
            "domain test (RFC 5782 5). Empty: it has no such point."
        ),
    ] = AUTO
    test_unlisted: Annotated[
        str,
        AfterValidator(_point),
        Field(
            description="What it must not have. auto: 127.0.0.1 and the domain invalid. Besides it must not have one "
            "drawn by lot from 127.128.0.0/9, or below invalid."
        ),
    ] = AUTO

    @field_validator("name", mode="after")
    @classmethod
    def _once(cls, value: str, info: ValidationInfo) -> str:
        names = survey_of(info).lists
        if value in names:
            raise ValueError(f'there is another list named "{value}"')
        names.add(value)
        return value

    @field_validator("subjects", mode="after")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("names a subject twice")
        return value
