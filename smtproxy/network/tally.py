"""What one session has used and is known only afterwards: told to those who count it, each thing once.

Recipients are counted when their answer is known, a message when its line is written, errors before the next MAIL and
at the end. Only what was refused for good counts as refused: neither a backend that is down nor a limit itself makes a
client worse.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from smtproxy.policy.evidence import Fact
from smtproxy.policy.rate_limits import Of, Subject
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.envelope import Envelope, Recipient


class Charge(Protocol):
    """Takes units of something from the limits for somebody."""

    def __call__(self, of: Of, subject: Subject, cost: float) -> None:
        """Take so many units."""


class Tally:
    """The account of one session."""

    __slots__ = ("_answered", "_charge", "_dialogue", "_errors", "_facts", "_listener")

    def __init__(self, charge: Charge, dialogue: Dialogue, listener: str, facts: Mapping[str, Fact[Any]]) -> None:
        """`facts`: what is known of the session, as it grows."""
        self._charge = charge
        self._dialogue = dialogue
        self._listener = listener
        self._facts = facts
        self._answered = 0
        """Recipients of this transaction that are counted."""
        self._errors = 0

    def errors(self) -> None:
        """Count the errors since the last time."""
        new, self._errors = self._dialogue.errors - self._errors, self._dialogue.errors
        if new > 0:
            self._charge(Of.ERRORS, self._subject(None), new)

    def recipients(self, envelope: Envelope | None) -> None:
        """Count the recipients that have got their answer since the last time; answers come in order."""
        if envelope is None:
            return
        while self._answered < len(envelope.recipients):
            one = envelope.recipients[self._answered]
            if one.reply is None:
                return
            self._answered += 1
            if one.refused:
                self._refused(envelope, one)

    def ended(self, envelope: Envelope | None, line: Mapping[str, object]) -> None:
        """Count what is left of a transaction, by the fields of its `message` line."""
        self.recipients(envelope)
        self._answered = 0
        size = line.get("size")
        if not isinstance(size, int):
            return  # there was no message
        subject = self._subject(envelope)
        self._charge(Of.OCTETS, subject, size)
        if line["outcome"] == "rejected":
            self._charge(Of.REFUSALS, subject, 1)

    def _refused(self, envelope: Envelope, recipient: Recipient) -> None:
        subject = self._subject(envelope, recipient)
        self._charge(Of.REFUSALS, subject, 1)
        if recipient.unknown:
            self._charge(Of.UNKNOWN_RECIPIENTS, subject, 1)

    def _subject(self, envelope: Envelope | None, recipient: Recipient | None = None) -> Subject:
        return Subject(
            self._dialogue.client,
            self._listener,
            None if envelope is None else envelope.sender,
            None if recipient is None else recipient.path,
            self._facts,
        )
