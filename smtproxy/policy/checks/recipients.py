"""Duty: no mail for somebody whom the backend does not know, or who will not get it. Says so at RCPT.

Exchange takes any recipient and bounces later: to a forged sender, as a rule (BACKENDS 1.5). What the sources of
recipients know is spoken while the client is still there: unknown (550 5.1.1), mailbox full (452 4.2.2), sender not
allowed (550 5.7.1), message too large for this recipient (552 5.3.4).

`postmaster` is always taken (RFC 5321 4.5.1) unless a setting says otherwise and a source lacks it.
"""

from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence, Unknown
from smtproxy.policy.facts import RECIPIENT, RecipientEntry
from smtproxy.policy.findings import Action, CannotTell, CheckSpec, Finding, OnError, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from smtproxy.wire.paths import Path


@dataclass(frozen=True, slots=True)
class RecipientsOptions:
    """The settings of [recipients]."""

    on_error: OnError = OnError.DEFER
    """What follows when a source cannot answer."""
    accept_postmaster: bool = True


def recipients(options: RecipientsOptions, evidence: Evidence) -> Outcome:
    """Find recipients that will not get this mail."""
    recipient = evidence.dialogue.recipient
    if recipient is None:
        return None
    fact, postmaster = evidence.get(RECIPIENT), recipient.path.mailbox_local.casefold() == "postmaster"
    if isinstance(fact, Unknown):
        if postmaster or options.on_error is OnError.PASS:
            return None
        return CannotTell(RECIPIENT.name, fact.reason)
    if postmaster and (options.accept_postmaster or fact.value.exists):
        return None
    return _judged(fact.value, evidence)


def _judged(entry: RecipientEntry, evidence: Evidence) -> Outcome:
    envelope, size = evidence.dialogue.envelope, evidence.dialogue.declared_size
    saw: dict[str, object] = {"source": entry.source}
    if entry.age is not None:
        saw["age"] = entry.age
    if not entry.exists:
        return Finding(Reason.UNKNOWN_RECIPIENT, saw, action=Action.REJECT)
    if entry.requires_authentication:
        return Finding(Reason.RECIPIENT_NEEDS_AUTHENTICATION, saw, action=Action.REJECT)
    if envelope is not None and _is_barred(entry, envelope.sender):
        return Finding(Reason.RECIPIENT_RESTRICTED, saw, action=Action.REJECT)
    if entry.size_limit is not None and size is not None and size > entry.size_limit:
        saw["declared"] = size
        return Finding(Reason.RECIPIENT_SIZE, saw, str(entry.size_limit), Action.REJECT)
    if entry.over_quota:
        return Finding(Reason.RECIPIENT_OVER_QUOTA, saw, action=Action.DEFER)
    return None


def _is_barred(entry: RecipientEntry, sender: Path) -> bool:
    """Whether the recipient does not take mail of this sender; bounces of its own mail are no matter of these lists."""
    if sender.is_null:
        return False
    address = f"{sender.mailbox_local.lower()}@{sender.domain_key}"
    return address in entry.denied_senders or bool(entry.allowed_senders and address not in entry.allowed_senders)


CHECK = CheckSpec(
    "recipients", frozenset({Stage.RECIPIENT}), RecipientsOptions, recipients, duty=True, needs=(RECIPIENT,)
)
