"""What a reply of the backend means for the command it was paired with. The pairing itself is a queue (`slots.py`).

Never passed on: 421 (the server is leaving, our session is not), an unexpected 2xx or 3xx, and replies that blame our
own dialogue. Everything else the backend says goes to the client as it is.
"""

from smtproxy.session import content
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Heard, Stand
from smtproxy.session.slots import Purpose, Slot
from smtproxy.session.upstream import MISCONFIGURED, Paired
from smtproxy.wire.replies import Reply


def pair(k: Carriage, got: Paired) -> None:
    """Act on one reply to a command. RFC 5321 4.3.2"""
    reply, purpose, slot = got.reply, got.awaited.purpose, got.awaited.slot
    if reply.code >= 400 and k.upstream is not None:
        k.upstream.worn = True
    if reply.code == 421:
        # RFC 5321 3.8: the server is going away. Never passed on: the client's session with us lives.
        k.backend_reply = reply
        k.fail(Own.BACKEND_LOST)
        return
    own: Own | None = None
    if reply.code in MISCONFIGURED and not _follows_refusal(k, purpose):
        k.misconfigured(purpose, reply)
        own = Own.BACKEND_MISCONFIGURED
    match purpose:
        case Purpose.RSET:
            if reply.kind != 2:
                k.fail(own or Own.BACKEND_NONSENSE)
        case Purpose.MAIL:
            _pair_mail(k, reply, slot, own)
        case Purpose.RCPT:
            _pair_rcpt(k, reply, slot, own)
        case Purpose.DATA:
            _pair_data(k, reply, own)
        case Purpose.CHUNK:
            content.taken(k, reply, own)
        case _:
            k.fail(Own.BACKEND_NONSENSE)


def _follows_refusal(k: Carriage, purpose: Purpose) -> bool:
    """Whether MAIL was refused just before: then 503 to a pipelined RCPT is no fault of the link."""
    envelope = k.dialogue.envelope
    return purpose is Purpose.RCPT and envelope is not None and envelope.sender_reply is not None


def _pair_mail(k: Carriage, reply: Reply, slot: Slot | None, own: Own | None) -> None:
    envelope = k.dialogue.envelope
    if envelope is None or reply.kind not in (2, 4, 5):
        k.fail(Own.BACKEND_NONSENSE)
        return
    k.mail_slot = None
    if reply.kind == 2 and own is None:
        if slot is not None:
            slot.answer, slot.by = reply, "backend"
        return
    k.in_sync = False
    k.backend_reply = reply
    heard, by = (reply, "backend") if own is None else (k.phrases.say(own), "protocol")
    if slot is not None:
        slot.answer, slot.by = heard, by
    elif envelope.accepted:
        # A replay that the server answers differently than before: the recipients were promised, so 451.
        k.fail(own or Own.BACKEND_CHANGED)
    else:
        envelope.sender_reply, envelope.sender_by = heard, by
        _refuse_queue(k, heard, by)


def _refuse_queue(k: Carriage, heard: Reply, by: str) -> None:
    """MAIL was refused: commands still in the queue are not sent, and are answered with the same reply."""
    for _, slot, _ in k.queue:
        if slot is not None:
            k.settle(slot, heard, by)
    k.queue.clear()


def _pair_rcpt(k: Carriage, reply: Reply, slot: Slot | None, own: Own | None) -> None:
    envelope = k.dialogue.envelope
    if envelope is not None and envelope.sender_reply is not None:
        if slot is not None:
            k.settle(slot, envelope.sender_reply, envelope.sender_by)
        return
    if reply.kind not in (2, 4, 5):
        k.fail(Own.BACKEND_NONSENSE)
    elif slot is None:
        if reply.kind != 2:
            k.backend_reply = reply
            k.fail(own or Own.BACKEND_CHANGED)
    elif own is None:
        k.settle(slot, reply, "backend")
    else:
        k.settle(slot, k.phrases.say(own), "protocol")


def _pair_data(k: Carriage, reply: Reply, own: Own | None) -> None:
    if reply.code == 354:
        k.stand = Stand.STREAMING
        k.backend_reply = reply
        k.end()
    elif reply.kind in (4, 5):
        k.backend_reply = reply
        if own is None:
            k.fail_with(Heard(reply, "backend"))
        else:
            k.fail(own)
    else:
        k.backend_reply = reply
        k.fail(Own.BACKEND_NONSENSE)
