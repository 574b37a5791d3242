"""One mail transaction as the log will tell it: what happened, who decided, and one `message` line at its end."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from smtproxy.session.dialogue import Dialogue
from smtproxy.session.envelope import Envelope
from smtproxy.session.settings import RelaySettings
from smtproxy.wire.replies import Reply
from smtproxy.wire.values import value

# The final reply of Exchange 2007 and later: "250 2.6.0 <id> [InternalId=1, Hostname=h] Queued mail for delivery".
_INTERNAL_ID = re.compile(r"\[InternalId=(\d{1,20})(?:, Hostname=([^\],\s]{1,255}))?")


_FRAMINGS = {(True, True): "BDAT", (True, False): "BDAT to DATA", (False, True): "DATA to BDAT"}


def said(reply: Reply | None) -> str | None:
    """Return a reply as the log shows it."""
    return None if reply is None else f"{reply.code} {reply.text}".rstrip()


def outcome_of(reply: Reply) -> str:
    """Return what a refusal means for the message."""
    return "rejected" if reply.kind == 5 else "deferred"


@value
class Ending:
    """How a transaction ended."""

    outcome: str
    """delivered | rejected | deferred | dropped | aborted | unknown"""
    by: str
    reply: Reply | None
    heard: bool = True
    """Whether the client was there to hear it."""


@value
class Passage:
    """What the backend had to do with a transaction."""

    reply: Reply | None = None
    server: str = ""
    replays: int = 0
    tls: str = ""
    """Version of TLS spoken with the server; empty: clear text."""
    committed_at: float | None = None
    """When the terminator left; None: it did not."""


@dataclass(slots=True)
class Transaction:
    """The account of one transaction, from a MAIL that was understood to its outcome."""

    name: str
    """Session id, dot, number in the session."""
    envelope: Envelope
    started: float
    notes: list[Mapping[str, object]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    body: str | None = None
    framing: tuple[bool, bool] | None = None
    """Whether the body came by BDAT, and whether it goes by BDAT."""
    whole: bool = False
    """It must be judged as a whole."""
    header: bytes = b""
    """Fields of ours that the policy puts in front of it."""
    suspect: bool = False
    """Something was found of it that counts or delays."""
    data_refused: tuple[Reply, str] | None = None
    """The policy's refusal of DATA, and the check that decided."""
    dot_at: float | None = None
    """When the final dot was read."""

    def note(self, notes: tuple[Mapping[str, object], ...], limit: int) -> None:
        """Add findings of a verdict, as many as the line may hold."""
        if notes and len(self.notes) < limit:
            self.notes.extend(notes[: limit - len(self.notes)])

    def unfinished(self) -> tuple[str, str, Reply | None]:
        """Return outcome, author and reply of a transaction that ended without a final dot.

        Refused where nobody was accepted and somebody refused: the last such reply counts. Else its client gave it up.
        """
        if self.data_refused is not None:
            reply, by = self.data_refused
            return outcome_of(reply), by, reply
        if not self.envelope.accepted:
            for one in reversed(self.envelope.recipients):
                if one.reply is not None and one.reply.kind > 3:
                    return outcome_of(one.reply), one.by, one.reply
        return "aborted", "client", None

    def fields(
        self, dialogue: Dialogue, settings: RelaySettings, ending: Ending, passage: Passage
    ) -> Mapping[str, object]:
        """Return the fields of the `message` line."""
        envelope = self.envelope
        message = dialogue.message
        shown = envelope.recipients[: settings.limits.logged_recipients]
        fields: dict[str, object] = {
            "session": dialogue.session,
            "transaction": self.name,
            "listener": settings.listener,
            "client": dialogue.client,
            "hello": None if dialogue.hello is None else dialogue.hello.name,
            "sender": str(envelope.sender),
            "recipients": [{"to": str(one.path), "reply": said(one.reply), "by": one.by} for one in shown],
            "recipients_total": len(envelope.recipients),
            "recipients_accepted": envelope.accepted,
            "outcome": ending.outcome,
            "by": ending.by,
            "reply": said(ending.reply),
            "server": passage.server or None,
            "backend_reply": said(passage.reply),
            "client_heard": ending.heard,
            "findings": self.notes,
            "changes": self.changes,
            "duration": round(dialogue.now - self.started, 4),
        }
        if dialogue.proxy:
            fields["proxy"] = dialogue.proxy
        if envelope.parameters:
            fields["parameters"] = " ".join(k if v is None else f"{k}={v}" for k, v in envelope.parameters)
        if self.body is not None:
            fields["body"] = self.body
        if self.framing in _FRAMINGS:
            fields["framing"] = _FRAMINGS[self.framing]
        if message is not None:
            fields["size"] = message.size
            fields["message_id"] = message.message_id
            fields["received"] = message.received
        if passage.tls:
            fields["server_tls"] = passage.tls
        if passage.replays:
            fields["replays"] = passage.replays
        if self.dot_at is not None:
            fields["answer_time"] = round(dialogue.now - self.dot_at, 4)
        if passage.committed_at is not None:
            fields["commit_time"] = round(dialogue.now - passage.committed_at, 4)
        if passage.reply is not None and ending.outcome == "delivered":
            found = _INTERNAL_ID.search(passage.reply.text)
            if found:
                fields["internal_id"] = found[1]
                fields["internal_host"] = found[2]
        return fields
