"""Judgement: a client that calls itself by our name, by something that is no name, by one that leads nowhere, or by
somebody else's address. RFC 5321 4.1.4, 4.1.3, 2.3.5

Nobody honest says our own name. Bad syntax is common among honest devices, and so are names that only an office knows
("EXCH01.corp.local"): hence `observe` by default, and the kinds that hit those are asked for by name.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, replace

from smtproxy.policy.evidence import Evidence, Unknown
from smtproxy.policy.facts import HELLO_NAME
from smtproxy.policy.findings import CannotTell, CheckSpec, Finding, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.networks import address_of
from smtproxy.session.verdicts import Stage
from smtproxy.wire.paths import domain_key

_DOMAIN = re.compile(
    r"(?=.{1,255}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*\.?"
)
_LITERAL = re.compile(r"\[(?:IPv6:(?P<six>[0-9A-Fa-f:.]{2,45})|(?P<four>\d{1,3}(?:\.\d{1,3}){3}))\]", re.IGNORECASE)
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class HelloOptions:
    """What it finds."""

    ours: frozenset[str] = frozenset()
    """Names that are ours, in the form of `domain_key`: this server's and those of the listener's domains."""
    forged: bool = True
    syntax: bool = True
    foreign_address: bool = True
    changed: bool = True
    unqualified: bool = False
    unresolvable: bool = False


def hello(options: HelloOptions, evidence: Evidence) -> Outcome:
    """Find hello names that nobody honest, or nobody careful, would say."""
    said = evidence.dialogue.hello
    if said is None:
        return None
    name = said.name
    if options.forged and name and len(name) <= _LONGEST and domain_key(name) in options.ours:
        return Finding(Reason.HELLO_FORGED, {"said": name})
    literal = _LITERAL.fullmatch(name)
    if not (literal or _DOMAIN.fullmatch(name)):
        return Finding(Reason.HELLO_SYNTAX, {"said": name[:_LONGEST]}) if options.syntax else None
    if options.changed and evidence.dialogue.hello_names > 1:
        return Finding(Reason.HELLO_CHANGED, {"said": name, "names": evidence.dialogue.hello_names})
    if literal:
        foreign = options.foreign_address and not _is_client(literal["six"] or literal["four"], evidence)
        return Finding(Reason.HELLO_FOREIGN_ADDRESS, {"said": name}) if foreign else None
    if options.unqualified and "." not in name.removesuffix("."):
        return Finding(Reason.HELLO_UNQUALIFIED, {"said": name})
    return _unresolvable(name, evidence) if options.unresolvable else None


def _is_client(literal: str, evidence: Evidence) -> bool:
    """Compare as addresses: one may be written in many ways, and that of IPv4 as one of IPv6 (RFC 4291 2.5.5.2)."""
    client = evidence.dialogue.client
    with suppress(ValueError):
        return not client or address_of(literal) == address_of(client)
    return False


def _unresolvable(name: str, evidence: Evidence) -> Outcome:
    fact = evidence.get(HELLO_NAME)
    if isinstance(fact, Unknown):
        return CannotTell(HELLO_NAME.name, fact.reason)
    return None if fact.value.addresses else Finding(Reason.HELLO_UNRESOLVABLE, {"said": name}, name)


CHECK = CheckSpec("hello", frozenset({Stage.HELLO}), HelloOptions, hello, needs=(HELLO_NAME,))


def check(options: HelloOptions) -> CheckSpec:
    """Return the declaration for these options: nothing is looked up that none of them asks for."""
    return CHECK if options.unresolvable else replace(CHECK, needs=())
