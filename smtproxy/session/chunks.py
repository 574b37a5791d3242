"""BDAT of the client: which chunk belongs to a body, and how one that does not is got out of the way. RFC 3030

The octets of a chunk follow its command at once, whatever we think of it. So each of them is consumed before the chunk
is answered: read as commands they would be obeyed. Where it cannot be told how many there are, the session ends.
"""

from smtproxy.session.answers import Own
from smtproxy.session.carriage import Heard
from smtproxy.session.conversation import Conversation, Discard, Refusal
from smtproxy.session.rules import Phase
from smtproxy.session.slots import Slot
from smtproxy.session.transaction import Ending
from smtproxy.session.verdicts import Stage
from smtproxy.wire.chunks import Chunk, parse_bdat
from smtproxy.wire.commands import Command
from smtproxy.wire.errors import Fault, PeerError
from smtproxy.wire.replies import Reply

_VERB = b"BDAT"
_WORTH_A_COMMAND = 512
"""Octets, those of a command line (RFC 5321 4.5.3.1.4): a chunk of more is text, and counts in the size of a message,
not among the commands. Else 50 MB in chunks of 4 KB would be more commands than a session may send."""


def looks_like(text: bytes) -> bool:
    """Whether a line that is no command of ours may be a BDAT that was garbled: then octets follow it."""
    return text.lstrip()[: len(_VERB)].upper() == _VERB


def unframed(c: Conversation, detail: str = "") -> None:
    """A BDAT that cannot be read: where its octets end is not known, so nothing more is read of this client.

    The commands in front of it that were not answered yet, a group that has not left, hear the same: nothing of them
    was forwarded, and the log must not tell of a reply that stayed behind theirs.
    """
    c.dialogue.errors += 1
    for one in c.answers.pending():
        c.settle(one, c.phrases.say(Fault.BAD_CHUNK, detail), "protocol")
    c.finish("bad_chunk", "proxy")


def announce(c: Conversation, slot: Slot, command: Command) -> None:
    """Take a BDAT within a transaction, or behind one that was refused."""
    chunk = _parsed(c, command)
    envelope = c.dialogue.envelope
    if chunk is None:
        return
    if c.phase is Phase.REFUSED and c.refusal is not None:
        _drop(c, slot, chunk, c.refusal, Phase.READY if chunk.last else Phase.REFUSED)
    elif c.reception is not None:
        c.reception.begin_chunk(slot, chunk, c.dialogue.now)
        c.phase = Phase.BODY
    elif envelope is None or not envelope.accepted:
        refuse(c, slot, chunk, Heard(c.phrases.say(Own.NO_RECIPIENTS), "protocol"))
    else:
        c.dialogue.talked(Stage.DATA, early=False)  # RFC 3030 4.2: chunks may be pipelined with the transaction
        c.slot, c.chunk = slot, chunk
        c.ask(Stage.DATA)


def misplaced(c: Conversation, slot: Slot, command: Command, reply: Reply) -> None:
    """Refuse a chunk outside of a transaction: an error of the client, whose octets come all the same."""
    chunk = _parsed(c, command)
    if chunk is not None:
        _drop(c, slot, chunk, Refusal(Heard(reply, "protocol")), c.phase, error=True)


def refuse(c: Conversation, slot: Slot, chunk: Chunk, heard: Heard) -> None:
    """Refuse the first chunk of a message, and all others: the transaction ends here."""
    c.courier.abandon()
    if c.transaction is not None:
        c.end_transaction(Ending(*c.transaction.unfinished()))
    c.refusal = Refusal(heard)
    _drop(c, slot, chunk, c.refusal, Phase.READY if chunk.last else Phase.REFUSED)


def step(c: Conversation) -> bool:
    """Drop what has come of a refused chunk, and answer it behind its last octet. RFC 3030 2"""
    discard = c.discard
    if discard is None:
        c.crashed()
        return False
    refusal, limits = discard.refusal, c.settings.limits
    octets = len(c.lines.take(discard.left))
    discard.left -= octets
    refusal.dropped += octets
    if octets:
        c.client_due = min(discard.due, c.dialogue.now + limits.body_time)
    if discard.left:
        if refusal.dropped > c.settings.max_message_size:
            c.say_goodbye(Own.TOO_MUCH_BODY, "too_much_body")
        return False
    c.discard = None
    c.phase = discard.then
    c.wait_for_client()
    if discard.error:
        c.error(discard.slot, refusal.heard.reply)
    else:
        c.settle(discard.slot, refusal.heard.reply, refusal.heard.by)
    return True


def _drop(c: Conversation, slot: Slot, chunk: Chunk, refusal: Refusal, then: Phase, *, error: bool = False) -> None:
    limits, now = c.settings.limits, c.dialogue.now
    size = min(chunk.size, c.settings.max_message_size)
    c.discard = Discard(slot, refusal, chunk.size, now + limits.body_time + size / limits.body_rate, then, error)
    c.client_due = now + limits.body_time
    c.phase = Phase.DROPPING


def _parsed(c: Conversation, command: Command) -> Chunk | None:
    try:
        chunk = parse_bdat(command.argument)
    except PeerError as error:
        unframed(c, error.detail)
        return None
    if chunk.size > _WORTH_A_COMMAND:
        c.dialogue.chunks += 1
    return chunk
