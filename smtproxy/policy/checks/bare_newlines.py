"""Duty: bare CR and LF in a body. With the setting `normalise` there is nothing to refuse; the others protect backends
that take one for the end of a line, and so can be made to read a second, forged message (SMTP smuggling, December
2023).
"""

from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.findings import Action, CheckSpec, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from smtproxy.wire.newlines import NewlineMode


@dataclass(frozen=True, slots=True)
class BareNewlinesOptions:
    """The listener's `bare_newlines`."""

    mode: NewlineMode = NewlineMode.NORMALISE


def bare_newlines(options: BareNewlinesOptions, evidence: Evidence) -> Finding | None:
    """Find bodies whose newlines must not go on."""
    message = evidence.dialogue.message
    if message is None or not message.bare_newlines:
        return None
    if options.mode is NewlineMode.REJECT:
        return Finding(Reason.BARE_NEWLINES, action=Action.REJECT)
    if options.mode is NewlineMode.PASS and message.dot_line:
        return Finding(Reason.NEWLINES_AT_DOTS, action=Action.REJECT)
    return None


CHECK = CheckSpec("bare_newlines", frozenset({Stage.MESSAGE}), BareNewlinesOptions, bare_newlines, duty=True)
