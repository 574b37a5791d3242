"""Judgement: lists of the DNS that have the client's address or name, its hello, or the sender's domain. RFC 5782

The weights of all lists that have any of these are added up, each list once; allow lists have negative ones, as in
postscreen. What follows from a sum is the action's matter. A list that cannot say leaves the sum open only if its
weight could make the difference: then `on_error` decides, and never an error of somebody's list.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from smtproxy.policy.evidence import NOBODY_ASKED, Evidence, Known
from smtproxy.policy.facts import (
    LISTED_CLIENT,
    LISTED_HELLO,
    LISTED_REVERSE_NAME,
    LISTED_SENDER,
    Key,
    Listed,
    Listings,
)
from smtproxy.policy.findings import CannotTell, CheckSpec, Finding, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage

_FACTS = (LISTED_CLIENT, LISTED_REVERSE_NAME, LISTED_HELLO, LISTED_SENDER)


@dataclass(frozen=True, slots=True)
class DnsblOptions:
    """The sum from which on something is found, and the weights of the lists."""

    threshold: float = 1.0
    weights: Mapping[str, float] = field(default_factory=dict)
    """By the list's name. A list that is not here weighs nothing."""
    keys: frozenset[Key[Listings]] = frozenset()
    """Facts that any of the lists gives."""


def dnsbl(options: DnsblOptions, evidence: Evidence) -> Outcome:
    """Add up what the lists say. A stage before the sender knows of fewer of them."""
    listed: dict[str, Listed] = {}
    unknown: dict[str, tuple[str, str]] = {}
    for key in _FACTS:
        fact = evidence.get(key)
        if isinstance(fact, Known):
            said: Listings = fact.value
            for one in said.listed:
                listed.setdefault(one.zone, one)
            for name, why in said.unknown:
                unknown.setdefault(name, (key.name, why))
        elif fact.reason not in NOBODY_ASKED:
            for name in options.weights:
                unknown.setdefault(name, (key.name, fact.reason))
    if not listed and not unknown and options.threshold > 0:
        return None
    weights = options.weights
    total = sum(weights.get(name, 0.0) for name in listed)
    open_weights = {name: weights.get(name, 0.0) for name in unknown if name not in listed}
    lowest = total + sum(weight for weight in open_weights.values() if weight < 0)
    highest = total + sum(weight for weight in open_weights.values() if weight > 0)
    if (lowest >= options.threshold) is not (highest >= options.threshold):
        fact_name, why = next(unknown[name] for name, weight in open_weights.items() if weight)
        return CannotTell(fact_name, why)
    if total < options.threshold:
        return None
    against = [one for one in listed.values() if weights.get(one.zone, 0.0) > 0]
    return Finding(
        Reason.LISTED,
        {"lists": {one.zone: list(one.answers) for one in listed.values()}, "weight": total},
        ",".join(f"{one.zone}:{one.subject}" for one in against),
        points=total,
    )


CHECK = CheckSpec(
    "dnsbl", frozenset({Stage.CONNECT, Stage.HELLO, Stage.MAIL}), DnsblOptions, dnsbl, needs=_FACTS, lists=True
)


def check(options: DnsblOptions) -> CheckSpec:
    """Return the declaration for these options: without a list nothing is looked up."""
    return replace(CHECK, needs=tuple(key for key in _FACTS if key in options.keys))
