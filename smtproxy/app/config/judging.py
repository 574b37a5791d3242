"""How findings become verdicts, and for whom: [score], [[exemptions]], [[policy]], [governor].

Must never let anything here touch a duty: they are named, so that whoever tries is told.
"""

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from smtproxy.app.config.addresses import ClientNetwork
from smtproxy.app.config.checks import DUTIES, Checks
from smtproxy.app.config.domains import AddressPattern
from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import LIST, STRICT
from smtproxy.app.config.units import Count, Duration
from smtproxy.policy.greylist import NAME as GREYLIST
from smtproxy.policy.rate_limits import PREFIX as LIMIT
from smtproxy.policy.rules.check import PREFIX


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
        raise ValueError(f"must be a number from 0 to {_MOST}; 0: never")
    return float(value)


Threshold = Annotated[float, BeforeValidator(_number)]
_MOST: Final = 10000


class Score(BaseModel):
    """What follows from the sum of the weights of all findings whose action is score, at RCPT and for the message."""

    model_config = STRICT
    tarpit: Annotated[Threshold, Field(description="From this sum on the answer is delayed. 0: never.")] = 0.0
    greylist: Annotated[
        Threshold,
        Field(
            description="From this sum on, at RCPT, a client that nobody knows is asked to come again, see [greylist]. "
            "0: never."
        ),
    ] = 0.0
    defer: Annotated[Threshold, Field(description="From this sum on: 4xx. 0: never.")] = 0.0
    reject: Annotated[Threshold, Field(description="From this sum on: 5xx. 0: never.")] = 0.0

    @model_validator(mode="after")
    def _in_order(self) -> "Score":
        for mild in (self.tarpit, self.greylist):
            given = [one for one in (mild, self.defer, self.reject) if one]
            if given != sorted(given):
                raise ValueError("tarpit and greylist must not be above defer, and defer not above reject")
        return self


def _judgement(name: str, info: ValidationInfo) -> str:
    if name in DUTIES:
        raise ValueError(f'"{name}" is a duty: nobody is exempt from it')
    notes = survey_of(info)
    named = {PREFIX + one for one in notes.rules} | {LIMIT + one for one in notes.limits_named}
    if name not in {*Checks.model_fields, GREYLIST, *named}:
        raise ValueError(f'there is no check "{name}"')
    return name


class Whom(BaseModel):
    """Whom a block is about. All conditions that are given must hold."""

    model_config = STRICT
    clients: Annotated[tuple[ClientNetwork, ...], LIST, Field(description="Networks of clients.")] = ()
    recipients: Annotated[
        tuple[AddressPattern, ...],
        LIST,
        Field(
            description='Recipients: "user@example.org", "postmaster@*", "example.org" (all of it), "*.example.org" '
            "(its subdomains)."
        ),
    ] = ()

    def _named(self, senders: tuple[str, ...]) -> None:
        if not (self.clients or self.recipients or senders):
            raise ValueError("must say whom it is about: clients, senders or recipients")


class Exemption(Whom):
    """Judgements that are lifted. Duties never are: whoever is exempt from everything cannot relay by it."""

    senders: Annotated[
        tuple[AddressPattern, ...],
        LIST,
        Field(description="Domains of senders, where SPF or a DKIM signature proves them."),
    ] = ()
    checks: Annotated[
        tuple[Annotated[str, AfterValidator(_judgement)], ...],
        LIST,
        Field(
            description='Names of checks, "rule:NAME" for a rule, "limit:NAME" for a limit, "greylist". Empty: every '
            "judgement."
        ),
    ] = ()

    @model_validator(mode="after")
    def _about_somebody(self) -> "Exemption":
        self._named(self.senders)
        return self


class PolicyBlock(Whom):
    """Other settings of judgements, for those whom it is about. The first block that matches counts."""

    name: Annotated[str, Field(min_length=1, description="Its name, for the log and for `check`.")]
    senders: Annotated[
        tuple[AddressPattern, ...],
        LIST,
        Field(description="Senders as MAIL FROM names them, proven or not: addresses or domains."),
    ] = ()
    checks: Checks = Field(
        default=Checks(), description="Tables of checks, as in [checks]; what is not said is as it is there."
    )

    @field_validator("checks", mode="after")
    @classmethod
    def _judgements_only(cls, value: Checks, info: ValidationInfo) -> Checks:
        del info
        duties = sorted(value.model_fields_set & DUTIES)
        if duties:
            raise ValueError(f'"{duties[0]}" is a duty: it is the same for everybody')
        return value

    @model_validator(mode="after")
    def _about_somebody(self) -> "PolicyBlock":
        self._named(self.senders)
        return self


def overridden(base: Checks, block: Checks) -> Checks:
    """Return the checks with what a block says of them."""
    changed = {}
    for name in block.model_fields_set:
        said = getattr(block, name)
        said_of_it = {field: getattr(said, field) for field in said.model_fields_set}
        changed[name] = getattr(base, name).model_copy(update=said_of_it)
    return base.model_copy(update=changed)


class Governor(BaseModel):
    """Keeps a check that goes mad from refusing for good: its 5xx become 4xx until it behaves as before."""

    model_config = STRICT
    enabled: bool = Field(default=True, description="false: nobody watches how much a check refuses.")
    window: Annotated[Duration, Field(description="What happened lately, for comparison with what is usual.")] = 300.0
    factor: Annotated[
        Count,
        Field(description="How many times the usual odds of a refusal are too much."),
    ] = 5
    refusals: Annotated[
        Count, Field(description="Refusals in the window, of different networks, below which nothing is done.")
    ] = 10
    good: Annotated[
        Count, Field(description="Refusals in the window of senders that have had mail delivered before: too many.")
    ] = 3
