"""Commands on their way to the backend: as many in one write as it allows, and nothing it would have to forget."""

from smtproxy.session import pairing
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Job, Queued, Stand
from smtproxy.session.events import Forward
from smtproxy.session.slots import Purpose
from smtproxy.session.upstream import Paired, Stray, Upstream


def _prepare(k: Carriage) -> None:
    """Put what the backend is missing in front of the queue: RSET, MAIL, the recipients it does not know."""
    envelope = k.dialogue.envelope
    if k.in_sync or envelope is None:
        return
    front: list[Queued] = []
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
        now, k.queue = _group(k, pipelining=upstream.capabilities.has("PIPELINING"))
        for purpose, slot, _ in now:
            upstream.expect(purpose, slot)
        k.out.append(Forward(b"".join([command for _, _, command in now])))
    elif k.job is Job.DATA and k.chunked:
        k.stand = Stand.STREAMING  # BDAT needs no go-ahead
        k.end()
        return
    elif k.job is Job.DATA:
        # DATA stands alone behind the replies to all RCPTs: an unwanted 354 cannot happen by a race.
        upstream.expect(Purpose.DATA)
        k.out.append(Forward(b"DATA\r\n"))
    else:
        k.rest()
        return
    k.stand = Stand.WAITING
    k.patience(upstream.waiting_for)


def _group(k: Carriage, *, pipelining: bool) -> tuple[list[Queued], list[Queued]]:
    """Split the queue into what leaves in one write and the rest: bounded by number and by octets. RFC 2920 3.1"""
    limits = k.settings.limits
    octets = many = 0
    for _, _, command in k.queue[: limits.group if pipelining else 1]:
        octets += len(command)
        if many and octets > limits.group_octets:
            break
        many += 1
    return k.queue[:many], k.queue[many:]


def answered(k: Carriage, upstream: Upstream, octets: bytes) -> None:
    """Take replies to commands; when the last one owed is there, go on."""
    for got in upstream.receive(octets):
        if k.unproven and not k.retried and got.reply is not None and got.reply.code >= 400 and _opens(got):
            # A warm connection says goodbye, or "too many messages": that may be meant for those who used it before.
            k.reopen()
            return
        k.unproven = False
        if isinstance(got, Stray):
            if got.reply is None or k.job is Job.BODY:
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
        k.rest()


def _opens(got: Paired | Stray) -> bool:
    """Whether a reply is to RSET or MAIL, the first words of a transaction, or a goodbye to whatever it is."""
    return isinstance(got, Stray) or got.reply.code == 421 or got.awaited.purpose in (Purpose.RSET, Purpose.MAIL)
