"""Limits: how much of something may come in a time from whoever is counted as one, and each of them as a check.

What is counted is not known here, only the fact that says which limits are exceeded: lookups take from the store, once
for each connection, MAIL or RCPT. So a verdict is a function of its record. Always judgements, never duties, and what
they say is never for good: whoever comes more slowly is taken.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from smtproxy.policy.evidence import NOBODY_ASKED, Evidence, Fact, Unknown
from smtproxy.policy.facts import LIMITS_RECIPIENT, LIMITS_SESSION, LIMITS_TRANSACTION, Exceeded, Key
from smtproxy.policy.findings import CannotTell, CheckSpec, Finding, Outcome
from smtproxy.policy.replies import Reason, Wording
from smtproxy.session.networks import ONE_ADDRESS, Grouping, Network
from smtproxy.session.verdicts import Stage
from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.paths import Path
from smtproxy.wire.values import value

PREFIX: Final = "limit:"
"""In front of a limit's name where it stands among those of checks."""
FIRST_DELAY: Final = 1.0
"""Seconds of the first delay where delays double; a person with an old address book hardly notices it."""


@hashed_by_identity
class Per(Enum):
    """Who is counted as one."""

    CLIENT = "client"
    """An address, or a /64 of IPv6, as [quotas] has it."""
    NETWORK = "network"
    REVERSE_NAME = "reverse_name"
    """Organisational domain of the confirmed reverse name."""
    SENDER_DOMAIN = "sender_domain"
    PROVEN_DOMAIN = "proven_domain"
    """The sender's domain where SPF passes."""
    RECIPIENT = "recipient"
    LISTENER = "listener"
    ALL = "all"


@hashed_by_identity
class Of(Enum):
    """What is counted."""

    CONNECTIONS = "connections"
    MESSAGES = "messages"
    RECIPIENTS = "recipients"
    UNKNOWN_RECIPIENTS = "unknown_recipients"
    REFUSALS = "refusals"
    ERRORS = "errors"
    OCTETS = "octets"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a count stands in a session."""

    stage: Stage
    """At which a limit of it is asked."""
    fact: Key[Exceeded]
    """That says whether it is exceeded."""
    afterwards: bool = False
    """It is known only later, and then taken from what is left; the stage looks."""
    doubles: bool = False
    """The action `tarpit` delays twice as long with each further unit."""


PLACES: Final[Mapping[Of, Place]] = {
    Of.CONNECTIONS: Place(Stage.CONNECT, LIMITS_SESSION),
    Of.MESSAGES: Place(Stage.MAIL, LIMITS_TRANSACTION),
    Of.RECIPIENTS: Place(Stage.RECIPIENT, LIMITS_RECIPIENT),
    Of.UNKNOWN_RECIPIENTS: Place(Stage.RECIPIENT, LIMITS_RECIPIENT, afterwards=True, doubles=True),
    Of.REFUSALS: Place(Stage.RECIPIENT, LIMITS_RECIPIENT, afterwards=True),
    Of.ERRORS: Place(Stage.MAIL, LIMITS_TRANSACTION, afterwards=True),
    Of.OCTETS: Place(Stage.MAIL, LIMITS_TRANSACTION, afterwards=True),
}
_OF_A_CLIENT = frozenset({Per.CLIENT, Per.NETWORK, Per.REVERSE_NAME, Per.LISTENER, Per.ALL})
_OF_A_SENDER = _OF_A_CLIENT | {Per.SENDER_DOMAIN, Per.PROVEN_DOMAIN}
_OF_A_RECIPIENT = _OF_A_SENDER | {Per.RECIPIENT}
KNOWN_PER: Final[Mapping[Of, frozenset[Per]]] = {
    Of.CONNECTIONS: _OF_A_CLIENT,
    Of.MESSAGES: _OF_A_SENDER,
    Of.RECIPIENTS: _OF_A_RECIPIENT,
    Of.UNKNOWN_RECIPIENTS: _OF_A_RECIPIENT,
    Of.REFUSALS: _OF_A_SENDER,
    Of.ERRORS: _OF_A_CLIENT,
    Of.OCTETS: _OF_A_SENDER,
}
"""By whom each can be counted: who is known where it is taken."""
_WORDINGS: Final[Mapping[Of, Wording]] = {
    of: Wording(450, "4.7.0", f"Too many {of.value.replace('_', ' ')} in a short time; try again later") for of in Of
}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One limit."""

    name: str
    per: Per
    of: Of
    amount: float
    """Units in each period."""
    period: float
    """Seconds."""
    burst: float
    """Units that may come in one moment."""
    exempt: tuple[Network, ...] = ()
    """Clients that are neither counted nor held to it."""
    grouping: Grouping = ONE_ADDRESS
    """Which addresses are one client, or one network."""
    longest_delay: float | None = None
    """Seconds up to which a delay doubles with each unit; None: it does not, and nothing is charged beyond the burst.
    """

    @property
    def beyond(self) -> int:
        """Units that are charged beyond the burst: as many as it takes from the first delay to the longest."""
        return 0 if self.longest_delay is None else max(math.ceil(math.log2(self.longest_delay / FIRST_DELAY)), 0)

    def delay(self, excess: int) -> float | None:
        """Return the seconds of a tarpit by how far the limit is exceeded, from 1 on; None: not a matter of that."""
        if self.longest_delay is None:
            return None
        # A record may say any number: a power of 2 that large would be no float.
        doublings = min(max(excess - 1, 0), self.beyond)
        return min(FIRST_DELAY * 2.0**doublings, self.longest_delay)


@value
class Subject:
    """A session at the moment in which something of it is counted."""

    client: str
    """Address; empty: its balancer did not say."""
    listener: str
    sender: Path | None
    recipient: Path | None
    facts: Mapping[str, Fact[Any]]
    """By the name of the fact."""


def rate_limit(options: RateLimit, evidence: Evidence) -> Outcome:
    """Find that it is exceeded."""
    key = PLACES[options.of].fact
    fact = evidence.get(key)
    if isinstance(fact, Unknown):
        # A session that is only thought of takes from no limit.
        return None if fact.reason in NOBODY_ASKED else CannotTell(key.name, fact.reason)
    for one in fact.value.limits:
        if one.name == options.name:
            saw: dict[str, object] = {"of": options.of.value, "per": options.per.value, "wait": one.wait}
            delay = options.delay(one.excess)
            if delay is not None:
                saw["delay"] = delay
            return Finding(Reason.LIMIT_EXCEEDED, saw, tarpit=delay, wording=_WORDINGS[options.of])
    return None


def rate_limit_check(limit: RateLimit) -> CheckSpec:
    """Return the declaration of a limit's check."""
    place = PLACES[limit.of]
    return CheckSpec(PREFIX + limit.name, frozenset({place.stage}), RateLimit, rate_limit, needs=(place.fact,))
