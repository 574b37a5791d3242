"""The body of a message, from DATA to the final dot: collected, kept or streamed. DESIGN section 4, "The body".

Whatever fails on the way, the octets up to the end of the body are consumed and the client hears the reason at its
final dot; they are never read as commands.
"""

from smtproxy.session import commands, delivery
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Heard
from smtproxy.session.conversation import Conversation
from smtproxy.session.events import Keep, Stored, Wait
from smtproxy.session.reception import Reception
from smtproxy.session.rules import Phase
from smtproxy.session.settings import BodyMode
from smtproxy.session.slots import Slot
from smtproxy.session.transaction import Ending, Transaction, outcome_of
from smtproxy.session.verdicts import Stage
from smtproxy.wire.trace import received_field


def start(c: Conversation, slot: Slot) -> None:
    """DATA was accepted by the policy: take the body ourselves, or ask the backend for its go-ahead first."""
    settings, transaction = c.settings, c.transaction
    if transaction is None:
        c.crashed()
        return
    prefix = b""
    if settings.trace_header:
        prefix = _trace(c, transaction)
        transaction.changes.append("trace_header")
    c.reception = Reception(settings, c.memory, c.dialogue.now, prefix)
    transaction.body = settings.body.value
    if settings.body is BodyMode.STREAM:
        c.phase = Phase.BODY_START
        c.courier.start_data()
    else:
        c.slot = None
        c.reply(slot, Own.START_BODY)
        c.phase = Phase.BODY


def _trace(c: Conversation, transaction: Transaction) -> bytes:
    hello = c.dialogue.hello
    protocol = "SMTP" if hello is None or hello.verb == "HELO" else "ESMTP"
    if transaction.envelope.utf8:
        protocol = "UTF8SMTP"  # RFC 6531 4.3
    tls = c.dialogue.tls
    if tls is not None and protocol != "SMTP":
        protocol += "S"  # RFC 3848, which has no name for HELO under TLS
    return received_field(
        hello=None if hello is None else hello.name,
        client=c.dialogue.client,
        hostname=c.settings.hostname,
        protocol=protocol,
        tls=None if tls is None else f"{tls.version} with cipher {tls.cipher}",
        transaction=transaction.name,
        timestamp=c.epoch + c.dialogue.now,
    )


def started(c: Conversation) -> bool:
    """The backend answered DATA, asked by the client's DATA (`stream`) or because memory is full (`auto`)."""
    reception = c.reception
    if reception is None:
        c.crashed()
        return False
    failure, slot = c.backend.failure, c.slot
    c.slot = None
    c.phase = Phase.BODY
    if failure is None:
        if slot is not None:
            reply = c.backend.backend_reply
            c.settle(slot, c.phrases.say(Own.START_BODY) if reply is None else reply, "backend")
        delivery.send_kept(c, reception)
    elif slot is None:
        give_up(c, reception, failure)
    else:
        c.phase = Phase.READY
        commands.refuse_data(c, slot, failure.reply, failure.by)
        c.end_transaction(Ending(outcome_of(failure.reply), failure.by, failure.reply))
    return True


def step(c: Conversation) -> bool:
    """Take in what the client sent of the body; at its end, ask for the verdict."""
    reception = c.reception
    if reception is None:
        c.crashed()
        return False
    intake = reception.intake
    if c.backend.failure is not None and reception.refusal is None:
        give_up(c, reception, c.backend.failure)
    if intake.ended:
        _ended(c, reception)
        return True
    if not len(c.lines):
        return False
    reception.touched = c.dialogue.now
    body, rest = intake.feed(c.lines.take())
    if rest:
        c.lines.feed(rest)
    if reception.refusal is not None:
        intake.dropped += len(body)
    elif intake.spoilt:
        # Too large or forbidden newlines: the policy says so at the final dot. The backend gets no more of it.
        c.courier.abandon()
        c.drop_body()
    elif body:
        _pass_on(c, reception, body)
    if intake.dropped > c.settings.max_message_size and not intake.ended:
        c.say_goodbye(Own.TOO_MUCH_BODY, "too_much_body")
        return False
    return True


def _pass_on(c: Conversation, reception: Reception, body: bytes) -> None:
    """Send octets on, or keep them while there is room; where there is none, stream (auto) or use the disk (hold)."""
    if reception.begun:
        c.courier.send_body(body)
    elif not reception.keep(body):
        if c.settings.body is BodyMode.AUTO:
            c.phase = Phase.BODY_START
            c.courier.start_data()
        else:
            reception.on_disk = True
            c.held_up = Wait.STORAGE
            c.out.append(Keep(reception.empty()))


def stored(c: Conversation, event: Stored) -> None:
    """Octets were kept on disk, or could not be."""
    c.held_up = None
    if event.failed and c.reception is not None:
        give_up(c, c.reception, Heard(c.phrases.say(Own.DISK_FULL), "protocol"))


def give_up(c: Conversation, reception: Reception, failure: Heard) -> None:
    """The message cannot be delivered any more: the client hears it at its final dot; what it sends is consumed."""
    reception.refusal = failure
    c.courier.abandon()
    c.drop_body()


def _ended(c: Conversation, reception: Reception) -> None:
    """The final dot was read."""
    dialogue, transaction = c.dialogue, c.transaction
    if transaction is None:
        c.crashed()
        return
    dialogue.message = reception.intake.facts()
    if reception.intake.normalised:
        transaction.changes.append("newlines_normalised")
    transaction.dot_at = dialogue.now
    c.commit_due = c.octets_since + c.settings.commit_by
    c.slot = c.answers.open(".")
    c.phase = Phase.VERDICT
    if reception.refusal is None:
        c.ask(Stage.MESSAGE)
    else:
        delivery.conclude(c, outcome_of(reception.refusal.reply), reception.refusal)
