"""Commands on their way to the backend: as many in one write as it allows, and nothing it would have to forget."""

from smtproxy.session import pairing
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Job, Stand
from smtproxy.session.events import Forward
from smtproxy.session.slots import Purpose, Slot
from smtproxy.session.upstream import Stray, Upstream


def _prepare(k: Carriage) -> None:
    """Put what the backend is missing in front of the queue: RSET, MAIL, the recipients it does not know."""
    envelope = k.dialogue.envelope
    if k.in_sync or envelope is None:
        return
    front: list[tuple[Purpose, Slot | None, bytes]] = []
    if k.dirty:
        front.append((Purpose.RSET, None, b"RSET\r\n"))
    front.append((Purpose.MAIL, k.mail_slot, envelope.mail()))
    replay = envelope.replay()
    front.extend((Purpose.RCPT, None, command) for command in replay)
    if replay:
        k.replays += 1
    k.queue[:0] = front
    k.in_sync = True
    k.dirty = False


def send_next(k: Carriage, upstream: Upstream) -> None:
    """Send as much of the queue as may leave in one write, or go on to the next step of the job."""
    _prepare(k)
    if k.queue:
        many = k.settings.limits.group if upstream.capabilities.has("PIPELINING") else 1
        now, k.queue = k.queue[:many], k.queue[many:]
        for purpose, slot, _ in now:
            upstream.expect(purpose, slot)
        k.out.append(Forward(b"".join([command for _, _, command in now])))
    elif k.job is Job.DATA:
        # DATA stands alone behind the replies to all RCPTs: an unwanted 354 cannot happen by a race.
        upstream.expect(Purpose.DATA)
        k.out.append(Forward(b"DATA\r\n"))
    else:
        k.stand = Stand.READY
        k.end()
        return
    k.stand = Stand.WAITING
    k.patience(upstream.waiting_for)


def answered(k: Carriage, upstream: Upstream, octets: bytes) -> None:
    """Take replies to commands; when the last one owed is there, go on."""
    for got in upstream.receive(octets):
        if k.unproven and not k.retried and got.reply is not None and got.reply.code == 421:
            # A warm connection says goodbye instead of answering: as if it had ended a moment earlier.
            k.reopen()
            return
        k.unproven = False
        if isinstance(got, Stray):
            if got.reply is None:
                k.fail(Own.BACKEND_NONSENSE)
            else:
                k.distrust()
            return
        pairing.pair(k, got)
        if k.stand is not Stand.WAITING:
            break
    if k.stand is not Stand.WAITING:
        return
    if upstream.owes:
        k.patience(upstream.waiting_for)
    elif upstream.unread:
        k.distrust()
    elif k.queue or k.job is Job.DATA:
        k.look()
    else:
        k.stand = Stand.READY
        k.end()
