"""Verdicts put into effect: what a command becomes once the policy has spoken."""

from collections.abc import Callable, Mapping

from smtproxy.session import body, chunks, delivery
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Heard
from smtproxy.session.conversation import Conversation
from smtproxy.session.rules import Phase
from smtproxy.session.settings import ClientTls, OpenMode
from smtproxy.session.slots import Slot
from smtproxy.session.transaction import Ending, outcome_of
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.wire.ehlo import ehlo_lines
from smtproxy.wire.replies import Reply


def judged(c: Conversation, verdict: Verdict) -> None:
    """Take a verdict: note its findings, and put it into effect now or after its delay."""
    if verdict.notes:
        limit = c.settings.limits.logged_findings
        if c.transaction is not None and verdict.stage is not Stage.PROTOCOL:
            c.transaction.note(verdict.notes, limit)
        else:
            c.account.note(verdict.notes, limit)
    if c.transaction is not None and isinstance(verdict, Accepted) and verdict.suspect:
        c.transaction.suspect = True
    if verdict.delay <= 0 or not c.begin_delay(verdict):
        _apply(c, verdict)


def arrived(c: Conversation, verdict: Verdict) -> None:
    """Take a verdict that was awaited; any other one is a fault of ours."""
    stage, c.judging = c.judging, None
    if verdict.stage is stage:
        c.held_up = None
        judged(c, verdict)
    else:
        c.crashed()


def delay_over(c: Conversation) -> None:
    """The delay of a verdict is over, or a part of it after which an octet of its reply is due."""
    if c.go_on_stuttering():
        return
    verdict = c.end_delay()
    if verdict is not None:
        _apply(c, verdict)


def _apply(c: Conversation, verdict: Verdict) -> None:
    slot, stage = c.slot, verdict.stage
    if slot is None:
        c.crashed()
    elif stage is Stage.MESSAGE:
        delivery.judged(c, verdict)
    elif isinstance(verdict, Refused):
        c.slot = None
        _refused(c, slot, verdict)
    else:
        if stage is Stage.DATA and c.transaction is not None:
            c.transaction.whole, c.transaction.header = verdict.whole, verdict.header
        _ACCEPTED[stage](c, slot)


def _protocol_error(c: Conversation, slot: Slot) -> None:
    """A command in error is answered as it deserves."""
    c.slot = None
    c.settle(slot, c.phrases.say(Own.INTERNAL) if c.error_reply is None else c.error_reply, "protocol")


def _welcome(_c: Conversation, _slot: Slot) -> None:
    """The client may talk to us; the banner is the relay's next step."""


def _mail(c: Conversation, slot: Slot) -> None:
    c.phase = Phase.MAIL
    if c.settings.open is OpenMode.RECIPIENT:
        c.slot = None
        c.reply(slot, Own.MAIL_OK)
    else:
        c.courier.group([slot])


def _recipient(c: Conversation, slot: Slot) -> None:
    c.slot = None
    envelope = c.dialogue.envelope
    if envelope is not None and envelope.sender_reply is not None:
        c.settle(slot, envelope.sender_reply, envelope.sender_by)
    else:
        c.group.append(slot)


def _refused(c: Conversation, slot: Slot, verdict: Refused) -> None:
    chunk, c.chunk = c.chunk, None
    match verdict.stage:
        case Stage.DATA:
            if c.transaction is not None:
                c.transaction.data_refused = (verdict.reply, verdict.by)
            if chunk is not None and not verdict.drop:
                chunks.refuse(c, slot, chunk, Heard(verdict.reply, verdict.by))
                return
            c.settle(slot, verdict.reply, verdict.by)
            if len(c.lines) and not verdict.drop:
                c.finish("early_body", "proxy")  # what stands behind it is a body, see `refuse_data`
        case _:
            c.settle(slot, verdict.reply, verdict.by)
    if verdict.drop:
        for before in c.answers.pending():  # commands of a group that has not left: nobody else answers them now
            c.settle(before, verdict.reply, verdict.by)
    match verdict.stage:
        case Stage.PROTOCOL if not c.dialogue.foreign:
            c.finish("errors", verdict.by)
        case Stage.CONNECT:
            c.finish("refused", verdict.by)
        case Stage.HELLO:
            c.dialogue.hello = None
            c.phase = Phase.START
        case Stage.MAIL:
            outcome = "dropped" if verdict.drop else outcome_of(verdict.reply)
            c.end_transaction(Ending(outcome, verdict.by, verdict.reply))
        case _:
            pass
    if verdict.drop:
        c.finish("dropped", verdict.by)


def _hello(c: Conversation, slot: Slot) -> None:
    c.slot = None
    dialogue, offered = c.dialogue, c.offered
    hello = dialogue.hello
    if hello is None or offered is None:
        c.crashed()
        return
    lines = ehlo_lines(c.settings.hostname, dialogue.client, offered)
    if c.settings.client_tls is ClientTls.STARTTLS and dialogue.tls is None:
        lines = (*lines, b"STARTTLS")
    c.settle(slot, Reply(250, lines if hello.verb == "EHLO" else lines[:1]), "protocol")
    c.phase = Phase.READY


_ACCEPTED: Mapping[Stage, Callable[[Conversation, Slot], None]] = {
    Stage.CONNECT: _welcome,
    Stage.HELLO: _hello,
    Stage.MAIL: _mail,
    Stage.RECIPIENT: _recipient,
    Stage.DATA: body.start,
    Stage.PROTOCOL: _protocol_error,
}
"""What an accepted command becomes."""
