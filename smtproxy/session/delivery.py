"""From the verdict about a message to the reply to its final dot. The commit itself is the courier's (`_commit`)."""

from smtproxy.session.answers import Own
from smtproxy.session.carriage import Fate, Heard
from smtproxy.session.conversation import Conversation, Refusal
from smtproxy.session.reception import Reception
from smtproxy.session.rules import Phase
from smtproxy.session.transaction import Ending, Transaction, outcome_of
from smtproxy.session.verdicts import Refused, Verdict


def judged(c: Conversation, verdict: Verdict) -> None:
    """The policy has judged the message."""
    reception = c.reception
    if isinstance(verdict, Refused):
        c.courier.abandon()
        conclude(c, "dropped" if verdict.drop else outcome_of(verdict.reply), Heard(verdict.reply, verdict.by))
    elif reception is None or reception.intake.spoilt:
        c.courier.abandon()
        _fail(c, Heard(c.phrases.say(Own.BODY_SPOILT), "protocol"))
    elif reception.begun and not c.backend.streaming:
        # The connection that has the body is gone while the verdict was awaited: no other one may get an empty message.
        _fail(c, c.backend.failure or Heard(c.phrases.say(Own.BACKEND_LOST), "protocol"))
    else:
        c.accepted = verdict
        if verdict.header and not reception.begun and c.transaction is not None:
            reception.put_in_front(verdict.header)
            c.transaction.changes.append("authentication_results")
        c.phase = Phase.SENDING
        if not reception.begun:
            c.courier.start_data()


def send_kept(c: Conversation, reception: Reception) -> None:
    """Send what was collected to the backend, which takes it: what lies on disk first."""
    reception.begun = True
    front, reception.front = reception.front, b""
    c.courier.send_collected(reception.empty(), kept=reception.on_disk, front=front)


def send_more(c: Conversation, reception: Reception) -> None:
    """Send what has gathered since as one chunk, if the backend still takes it."""
    c.courier.send_body(reception.empty())


def step(c: Conversation) -> bool:
    """The message was accepted by the policy: send what is still here, commit, and learn its fate."""
    backend, reception, transaction, accepted = c.backend, c.reception, c.transaction, c.accepted
    if backend.fate is not None and backend.final is not None:
        if backend.fate is Fate.DELIVERED:
            c.dialogue.delivered += 1
            c.dialogue.junk = 0
        conclude(c, backend.fate.value, backend.final)
    elif backend.failure is not None:
        _fail(c, backend.failure)
    elif not backend.streaming or reception is None or transaction is None or accepted is None:
        c.crashed()
    elif not reception.begun:
        send_kept(c, reception)
    elif reception.chunked and reception.leaving:
        send_more(c, reception)
    elif c.dialogue.now >= c.commit_due:
        c.courier.too_late(Own.TOO_LATE)
    else:
        c.courier.finish(accepted, reception.last_octets(), _commit_fields(c, transaction))
    return True


def _commit_fields(c: Conversation, transaction: Transaction) -> dict[str, object]:
    message = c.dialogue.message
    return {
        "session": c.dialogue.session,
        "transaction": transaction.name,
        "server": c.backend.server,
        "sender": str(transaction.envelope.sender),
        "recipients": transaction.envelope.accepted,
        "size": 0 if message is None else message.size,
        "message_id": None if message is None else message.message_id,
    }


def _fail(c: Conversation, heard: Heard) -> None:
    conclude(c, outcome_of(heard.reply), heard)


def conclude(c: Conversation, outcome: str, heard: Heard) -> None:
    """The fate of the message is known: write its line, then tell the client, if it is still there."""
    slot, c.slot = c.slot, None
    ended = c.reception is None or c.reception.intake.ended
    c.end_transaction(Ending(outcome, heard.by, heard.reply, heard=not c.gone))
    if ended:
        c.phase = Phase.READY
    else:
        c.refusal = Refusal(heard)
        c.phase = Phase.REFUSED
    if c.gone:
        c.finish(c.gone, "client")
    elif slot is None:
        c.crashed()
    else:
        c.settle(slot, heard.reply, heard.by)
        c.wait_for_client()
        if outcome == "dropped":
            c.finish("dropped", heard.by)
        # Now: what its client has pipelined behind it may take its time, and a sender who hears nothing for ten minutes
        # makes a duplicate (RFC 5321 4.5.3.2.6).
        c.flush()
