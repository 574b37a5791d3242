"""Verdicts put into effect: what a command becomes once the policy has spoken."""

from smtproxy.session import body, commands, delivery
from smtproxy.session.answers import Own
from smtproxy.session.conversation import Conversation
from smtproxy.session.rules import Phase
from smtproxy.session.settings import OpenMode
from smtproxy.session.slots import Slot
from smtproxy.session.transaction import Ending, outcome_of
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.wire.ehlo import ehlo_lines
from smtproxy.wire.replies import Reply


def judged(c: Conversation, verdict: Verdict) -> None:
    """Take a verdict: note its findings, and put it into effect now or after its delay."""
    stage = verdict.stage
    c.verdict = None
    if verdict.notes:
        limit = c.settings.limits.logged_findings
        if c.transaction is not None and stage is not Stage.PROTOCOL:
            c.transaction.note(verdict.notes, limit)
        else:
            c.account.note(verdict.notes, limit)
    if verdict.delay > 0:
        # A delayed session holds no backend connection: bots must not use up places.
        c.delayed = verdict
        c.delay_until = c.dialogue.now + verdict.delay
        c.courier.release()
    else:
        apply(c, verdict)


def arrived(c: Conversation, verdict: Verdict) -> None:
    """Take a verdict that was awaited; any other one is a fault of ours."""
    stage, c.judging = c.judging, None
    if verdict.stage is stage:
        judged(c, verdict)
    else:
        c.crashed()


def apply(c: Conversation, verdict: Verdict) -> None:
    """Put a verdict into effect."""
    slot = c.slot
    if slot is None:
        c.crashed()
    elif verdict.stage is Stage.MESSAGE:
        delivery.judged(c, verdict)
    elif verdict.stage is Stage.PROTOCOL:
        c.slot = None
        _protocol(c, slot, verdict)
    elif isinstance(verdict, Refused):
        c.slot = None
        _refused(c, slot, verdict)
    else:
        _accepted(c, slot, verdict)


def _protocol(c: Conversation, slot: Slot, verdict: Verdict) -> None:
    """A command in error is answered as it deserves, or with the goodbye that ends all patience."""
    if isinstance(verdict, Refused):
        c.settle(slot, verdict.reply, verdict.by)
        c.finish("errors", verdict.by)
    elif c.error_reply is not None:
        c.settle(slot, c.error_reply, "protocol")


def _accepted(c: Conversation, slot: Slot, verdict: Accepted) -> None:
    match verdict.stage:
        case Stage.CONNECT:
            pass
        case Stage.HELLO:
            c.slot = None
            _hello(c, slot)
        case Stage.MAIL:
            c.phase = Phase.MAIL
            if c.settings.open is OpenMode.RECIPIENT:
                c.slot = None
                c.reply(slot, Own.MAIL_OK)
            else:
                c.courier.group([slot])
        case Stage.RECIPIENT:
            c.slot = None
            envelope = c.dialogue.envelope
            if envelope is not None and envelope.sender_reply is not None:
                c.settle(slot, envelope.sender_reply, envelope.sender_by)
            else:
                c.group.append(slot)
        case Stage.DATA:
            body.start(c, slot)
        case _:
            c.crashed()


def _refused(c: Conversation, slot: Slot, verdict: Refused) -> None:
    match verdict.stage:
        case Stage.DATA:
            commands.refuse_data(c, slot, verdict.reply, verdict.by)
        case _:
            c.settle(slot, verdict.reply, verdict.by)
    match verdict.stage:
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
    dialogue, offered = c.dialogue, c.offered
    hello = dialogue.hello
    if hello is None or offered is None:
        c.crashed()
        return
    lines = ehlo_lines(c.settings.hostname, dialogue.client, offered)
    c.settle(slot, Reply(250, lines if hello.verb == "EHLO" else lines[:1]), "protocol")
    c.phase = Phase.READY
