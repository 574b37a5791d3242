"""Judgement: a client that talks before it may. Spam engines send without listening; a mail server never does.

Talk is early only before the replies to connect, EHLO or HELO, and DATA: everything else may be pipelined (RFC 5321
3.1 and 4.3.1, RFC 2920 3.1; RFC 3030 4.2 even lets chunks be). What came in front of STARTTLS' reply is no matter of
judgement and never gets here. Before the banner it counts what lies in the socket when the banner is due:
`banner_delay` gives clients time to show themselves (Postfix postscreen_greet_wait = 6s), and 0 costs honest ones
nothing.

`observe` by default: scripts and old devices talk early, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.findings import CheckSpec, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class EarlyTalkerOptions:
    """There are none: how long the banner is held back is the relay's business."""


def early_talker(_options: EarlyTalkerOptions, evidence: Evidence) -> Finding | None:
    """Find clients that did not wait for the reply that is being decided; at RCPT, for one of those before it."""
    if not evidence.dialogue.early:
        return None
    asked = _ASKED.get(evidence.stage, (evidence.stage,))
    before = [stage.value for stage in asked if stage in evidence.dialogue.early]
    return Finding(Reason.EARLY_TALKER, {"before": ", ".join(before)}) if before else None


_ASKED: Mapping[Stage, tuple[Stage, ...]] = {Stage.RECIPIENT: (Stage.CONNECT, Stage.HELLO)}


CHECK = CheckSpec("early_talker", frozenset({Stage.CONNECT, Stage.HELLO, Stage.DATA}), EarlyTalkerOptions, early_talker)
