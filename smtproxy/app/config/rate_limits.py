"""The tables [[limits]]: how much of something may come in a time, from whoever is counted as one.

Each limit is a check of its own, called "limit:NAME" in the log. Must never hold how it is counted; that is in
`smtproxy.lookups.rate_limits`.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from smtproxy.app.config.addresses import ClientNetwork
from smtproxy.app.config.backends import checked_name
from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import LIST, STRICT, member_of, one_of
from smtproxy.app.config.tarpit import Delay
from smtproxy.app.config.units import octets, seconds
from smtproxy.policy import rate_limits
from smtproxy.policy.findings import Action
from smtproxy.policy.rate_limits import KNOWN_PER, PLACES, PREFIX
from smtproxy.session.networks import Grouping

MOST: Final = 50
"""Limits of a configuration: each that applies is a turn at the store for each connection, MAIL or RCPT."""
_ACTIONS: Final = (Action.OFF, Action.OBSERVE, Action.TARPIT, Action.DEFER, Action.DROP)
_RATE: Final = 'must be like "100/1h": how many in which time, a size for octets ("500MiB/1h")'


def _own_name(name: str, info: ValidationInfo) -> str:
    notes = survey_of(info)
    if checked_name(name) in notes.limits_named:
        raise ValueError(f'another limit is called "{name}" already')
    notes.limits_named.add(name)
    return name


def _read_rate(value: str) -> tuple[int, float]:
    many, slash, period = value.partition("/")
    try:
        return octets(int(many) if re.fullmatch(r"[0-9]{1,15}", many, re.ASCII) else many), seconds(period)
    except ValueError as error:
        raise ValueError(f"{_RATE}; {error}" if slash else _RATE) from None


def _rate(value: str) -> str:
    _read_rate(value)
    return value


def _burst(value: object) -> int:
    return 0 if type(value) is int and value == 0 else octets(value)


class RateLimit(BaseModel):
    """One limit: a bucket that leaks evenly. Whoever is above it is delayed or deferred, never refused for good."""

    model_config = STRICT

    name: Annotated[
        str, AfterValidator(_own_name), Field(description=f'Its name: in log lines and elsewhere it is "{PREFIX}NAME".')
    ]
    of: Annotated[
        rate_limits.Of,
        member_of(rate_limits.Of),
        Field(
            description="What is counted. connections are asked for at connect, messages at MAIL, recipients at RCPT. "
            "Known only afterwards, and asked for at the next RCPT: unknown_recipients and refusals (both 5xx, by "
            "whomever); at the next MAIL: errors of the protocol, and octets of messages."
        ),
    ]
    per: Annotated[
        rate_limits.Per,
        member_of(rate_limits.Per),
        Field(
            description="Who is counted as one. client: as [quotas] has it; network: by the prefixes below; "
            "reverse_name: the organisation's domain of a confirmed reverse name; sender_domain: of MAIL FROM, which "
            "anybody can forge; proven_domain: the same where SPF passes; recipient: each mailbox; listener; all. Who "
            "is not known so is not limited."
        ),
    ] = rate_limits.Per.CLIENT
    rate: Annotated[
        str,
        AfterValidator(_rate),
        Field(description='How many in which time: "100/1h", "10/1m", for octets "500MiB/1h".'),
    ]
    burst: Annotated[
        int,
        BeforeValidator(_burst),
        Field(description="How many may come in one moment. 0: as many as in the whole time of `rate`."),
    ] = 0
    action: Annotated[
        Action,
        member_of(Action),
        one_of([one.value for one in _ACTIONS]),
        Field(
            description="What follows above it. off: not counted; observe: logged only; tarpit: answered late; defer: "
            "421 4.7.0 in place of a banner, else 450 4.7.0; drop: 421 4.7.0, and the connection closed."
        ),
    ] = Action.DEFER
    longest_delay: Annotated[
        Delay,
        Field(
            description="With of = unknown_recipients and action = tarpit: each further one doubles the delay of the "
            "replies to RCPT, 1s, 2s, 4s, up to this; each that `rate` forgives halves it again. [tarpit] bounds how "
            "many wait at once; its `delay` is not added."
        ),
    ] = 60.0
    exempt: Annotated[
        tuple[ClientNetwork, ...], LIST, Field(description="Networks of clients that are not counted for it.")
    ] = ()
    ipv4_prefix: Annotated[
        int, Field(ge=8, le=32, description="With per = network: leading bits of IPv4 that make one.")
    ] = 24
    ipv6_prefix: Annotated[
        int, Field(ge=16, le=128, description="With per = network: leading bits of IPv6 that make one.")
    ] = 56

    @field_validator("per", mode="after")
    @classmethod
    def _known_then(cls, per: rate_limits.Per, info: ValidationInfo) -> rate_limits.Per:
        of = info.data.get("of")
        if of is not None and per not in KNOWN_PER[of]:
            possible = [one.value for one in rate_limits.Per if one in KNOWN_PER[of]]
            raise ValueError(f"{of.value} cannot be counted per {per.value}, only per {', '.join(possible)}")
        return per

    @property
    def doubles(self) -> bool:
        """Whether what is delayed is delayed twice as long each time."""
        return PLACES[self.of].doubles and self.action is Action.TARPIT

    def limit(self, one_client: Grouping) -> rate_limits.RateLimit:
        """Return it as it is counted; `one_client`: which addresses are one client."""
        amount, period = _read_rate(self.rate)
        network = self.per is rate_limits.Per.NETWORK
        return rate_limits.RateLimit(
            self.name,
            self.per,
            self.of,
            amount,
            period,
            self.burst or amount,
            self.exempt,
            Grouping(self.ipv4_prefix, self.ipv6_prefix) if network else one_client,
            self.longest_delay if self.doubles else None,
        )
