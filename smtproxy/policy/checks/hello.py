"""Judgement: a client that calls itself by our name, or by something that is no name. RFC 5321 4.1.4, 4.1.3

Nobody honest says our own name. Bad syntax is common among honest devices: hence `observe` by default.
"""

import re
from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.findings import CheckSpec, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from smtproxy.wire.paths import domain_key

_DOMAIN = re.compile(
    r"(?=.{1,255}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*\.?"
)
_LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]{2,45})\]", re.IGNORECASE)
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class HelloOptions:
    """Names that are ours, in the form of `domain_key`: this server's and those of the listener's domains."""

    ours: frozenset[str] = frozenset()


def hello(options: HelloOptions, evidence: Evidence) -> Finding | None:
    """Find hello names that nobody honest, or nobody careful, would say."""
    said = evidence.dialogue.hello
    if said is None:
        return None
    name = said.name
    if name and len(name) <= _LONGEST and domain_key(name) in options.ours:
        return Finding(Reason.HELLO_FORGED, {"said": name})
    if not (_DOMAIN.fullmatch(name) or _LITERAL.fullmatch(name)):
        return Finding(Reason.HELLO_SYNTAX, {"said": name[:_LONGEST]})
    return None


CHECK = CheckSpec("hello", frozenset({Stage.HELLO}), HelloOptions, hello)
