"""Judgement: the client speaks another protocol: HTTP (a proxy's CONNECT included), or TLS where nobody offered it.

A browser that somebody points at port 25 posts a form whose lines are SMTP commands (the cross-protocol attack of
2001), and an open web proxy tunnels to us by CONNECT: hence `drop` by default. Whoever chooses less lets the lines
behind be read as commands.
"""

from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.findings import CheckSpec, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class NotSmtpOptions:
    """There are none."""


def not_smtp(_options: NotSmtpOptions, evidence: Evidence) -> Finding | None:
    """Find commands that are another protocol's."""
    spoken = evidence.dialogue.foreign
    return Finding(Reason.NOT_SMTP, {"protocol": spoken}, spoken) if spoken else None


CHECK = CheckSpec("not_smtp", frozenset({Stage.PROTOCOL}), NotSmtpOptions, not_smtp)
