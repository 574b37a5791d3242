"""Judgement: a bounce that is none: to several recipients, or to an address that never sends. RFC 5321 4.5.5, 6.1

A bounce goes to the one who sent the mail. Systems that send other notes with the null path to several recipients
exist; with `defer` they send to each by itself.
"""

from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.findings import CheckSpec, Finding
from smtproxy.policy.patterns import Patterns
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage


@dataclass(frozen=True, slots=True)
class NullSenderOptions:
    """What it finds."""

    several_recipients: bool = True
    never_sends: tuple[str, ...] = ()
    """Addresses that nobody sends from, as patterns."""


def null_sender(options: NullSenderOptions, evidence: Evidence) -> Finding | None:
    """Find recipients that a bounce cannot have."""
    envelope, recipient = evidence.dialogue.envelope, evidence.dialogue.recipient
    if envelope is None or recipient is None or not envelope.sender.is_null:
        return None
    if options.never_sends:
        pattern = Patterns(options.never_sends).find(recipient.path)
        if pattern:
            return Finding(Reason.NULL_SENDER_NEVER_SENT, {"pattern": pattern})
    if options.several_recipients:
        others = [one for one in envelope.recipients if one is not recipient and (one.reply is None or one.accepted)]
        if any(one.path != recipient.path for one in others):
            return Finding(Reason.NULL_SENDER_RECIPIENTS, {"others": len(others)})
    return None


CHECK = CheckSpec("null_sender", frozenset({Stage.RECIPIENT}), NullSenderOptions, null_sender)
