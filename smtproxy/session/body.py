"""The body of a message, by DATA or in chunks: collected, kept or streamed. DESIGN section 4, "The body".

Whatever fails on the way, the octets up to the end of the body (or of the chunk) are consumed and the client hears the
reason there; they are never read as commands.

How the body goes to the backend is settled before its first octet is read, as dots are put on or taken off from there.
"""

from smtproxy.session import commands, delivery
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Heard
from smtproxy.session.conversation import Conversation
from smtproxy.session.events import Keep, Stored, Wait
from smtproxy.session.reception import Reception
from smtproxy.session.rules import Phase
from smtproxy.session.settings import BodyMode, Chunking
from smtproxy.session.slots import Slot
from smtproxy.session.transaction import Ending, Transaction, outcome_of
from smtproxy.session.verdicts import Stage
from smtproxy.wire.trace import received_field


def start(c: Conversation, slot: Slot) -> None:
    """DATA, or a first chunk, was accepted by the policy: take the body ourselves, or ask the backend first."""
    settings, transaction = c.settings, c.transaction
    if transaction is None:
        c.crashed()
        return
    prefix = b""
    if settings.trace_header:
        prefix = _trace(c, transaction)
        transaction.changes.append("trace_header")
    if transaction.header:
        prefix = transaction.header + prefix  # RFC 8601 4.1: above the Received field of the host that says it
        transaction.changes.append("authentication_results")
    body = BodyMode.HOLD if transaction.whole and settings.body is BodyMode.AUTO else settings.body
    chunk, c.chunk = c.chunk, None
    envelope, chunking = transaction.envelope, settings.chunking
    wanted = chunking is Chunking.ALWAYS or (chunking is Chunking.MIRROR and chunk is not None)
    envelope.chunked = chunked = wanted and envelope.may_chunk
    now = c.dialogue.now
    c.reception = Reception(settings, c.memory, now, prefix, chunks_in=chunk is not None, chunks_out=chunked)
    c.reception.mode = body
    transaction.body = body.value
    transaction.framing = (chunk is not None, chunked)
    if chunk is not None:
        c.slot = None
        c.reception.begin_chunk(slot, chunk, now)
        c.flush()  # the answers to what was pipelined before it do not wait until the backend has the message
    if body is BodyMode.STREAM:
        c.phase = Phase.BODY_START
        c.courier.start_data()
        return
    c.begin_pace(c.reception)  # not one that streams: it would hold a backend connection all the while
    if chunk is None:
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
    """The backend takes the body or does not, asked at its beginning (`stream`) or because memory is full (`auto`)."""
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
            if reply is None or reception.chunked:
                c.reply(slot, Own.START_BODY)
            else:
                c.settle(slot, reply, "backend")
        delivery.send_kept(c, reception)
    elif slot is None:
        give_up(c, reception, failure)
    else:
        c.phase = Phase.READY
        commands.refuse_data(c, slot, failure.reply, failure.by)
        c.end_transaction(Ending(outcome_of(failure.reply), failure.by, failure.reply))
    return True


def step(c: Conversation) -> bool:
    """Take in what the client sent of the body; at its end, or at that of a chunk, say what is to be said."""
    reception = c.reception
    if reception is None:
        c.crashed()
        return False
    intake = reception.intake
    if c.backend.failure is not None and reception.refusal is None:
        give_up(c, reception, c.backend.failure)
    if intake.complete:
        if intake.ended or intake.spoilt or reception.refusal is not None:
            _ended(c, reception)
        else:
            _chunk_taken(c, reception)
        return True
    if not len(c.lines) and intake.left != 0:
        return False
    pacing = reception.pacing
    if pacing is not None and len(c.lines) and c.keep_pace(pacing):
        return False
    reception.touched = c.dialogue.now
    body = _take(c, reception)
    if reception.refusal is not None:
        intake.dropped += len(body)
    elif intake.spoilt:
        # Too large or forbidden newlines: the policy says so at the final dot. The backend gets no more of it.
        c.courier.abandon()
        c.drop_body()
    elif body:
        _pass_on(c, reception, body)
    if intake.dropped > c.settings.max_message_size and not intake.complete:
        c.say_goodbye(Own.TOO_MUCH_BODY, "too_much_body")
        return False
    return True


def _take(c: Conversation, reception: Reception) -> bytes:
    """Take in what is there, or a portion of it; return what may go on."""
    most, pacing = reception.intake.left, reception.pacing
    if pacing is not None:
        most = pacing.portion if most is None else min(most, pacing.portion)
    octets = c.lines.take(most)
    if pacing is not None:
        pacing.took(len(octets), c.dialogue.now)
    body, rest = reception.intake.feed(octets)
    if rest:
        c.lines.feed(rest + c.lines.take())
    return body


def _pass_on(c: Conversation, reception: Reception, body: bytes) -> None:
    """Send octets on, or keep them while there is room; where there is none, stream (auto) or use the disk (hold)."""
    if reception.begun and reception.chunked:
        if (not reception.keep(body) or reception.fills_chunk) and reception.leaving:
            delivery.send_more(c, reception)
    elif reception.begun:
        c.courier.send_body(body)
    elif not reception.keep(body):
        if reception.mode is BodyMode.AUTO:
            # No disk for the sake of a pace, and no place at the backend either: the rest comes as fast as it may.
            c.end_pace()
            c.phase = Phase.BODY_START
            c.courier.start_data()
        else:
            octets = reception.shelve()
            if octets:
                c.held_up = Wait.STORAGE
                c.out.append(Keep(octets))


def stored(c: Conversation, event: Stored) -> None:
    """Octets were kept on disk, or could not be."""
    c.held_up = None
    if event.failed and c.reception is not None:
        give_up(c, c.reception, Heard(c.phrases.say(Own.DISK_FULL), "protocol"))


def give_up(c: Conversation, reception: Reception, failure: Heard) -> None:
    """The message cannot be delivered any more: the client hears it at the end of its body, or of the present chunk."""
    reception.refusal = failure
    c.courier.abandon()
    c.drop_body()


def between_chunks(c: Conversation) -> bool:
    """Read the next command; what failed meanwhile is told to the next chunk."""
    reception, failure = c.reception, c.backend.failure
    if failure is not None and reception is not None:
        if reception.refusal is None:
            give_up(c, reception, failure)
        c.courier.forget_failure()
    return commands.step(c)


def _chunk_taken(c: Conversation, reception: Reception) -> None:
    """A chunk that is not the last one is complete. Our own 250 promises nothing: the backend answers the last one."""
    slot, reception.chunk = reception.chunk, None
    if slot is None:
        c.crashed()
        return
    c.settle(slot, c.phrases.say(Own.CHUNK_TAKEN, str(reception.intake.size)), "protocol")
    reception.paused = c.dialogue.now
    c.phase = Phase.CHUNKS
    c.wait_for_client()


def _ended(c: Conversation, reception: Reception) -> None:
    """The end of the body was read, or of a chunk that will not be taken."""
    dialogue, transaction = c.dialogue, c.transaction
    if transaction is None:
        c.crashed()
        return
    c.end_pace()
    dialogue.message = reception.intake.facts()
    if reception.intake.normalised:
        transaction.changes.append("newlines_normalised")
    if reception.intake.forged:
        transaction.changes.append(f"authentication_results_removed {reception.intake.forged}")
    if reception.intake.lengthened:
        transaction.changes.append("final_newline_added")
    transaction.dot_at = dialogue.now
    c.commit_due = c.octets_since + c.settings.commit_by
    if reception.chunk is None:
        c.slot = c.answers.open(".")
    else:
        c.slot = reception.chunk
        c.flush()  # nor do those to the chunks before it
    c.phase = Phase.VERDICT
    if reception.refusal is None:
        c.ask(Stage.MESSAGE)
    else:
        delivery.conclude(c, outcome_of(reception.refusal.reply), reception.refusal)
