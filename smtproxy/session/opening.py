"""Reaching a backend server: greeting, hello, and whether this very server can take the envelope.

Each server is tried once per job. A server that refuses us blames the link, never the mail (RFC 5321 4.3.2: 5xx at
greeting or EHLO): the client hears 451 at most.
"""

from smtproxy.session import forwarding
from smtproxy.session.carriage import Carriage, Job
from smtproxy.session.events import Forward
from smtproxy.session.slots import Purpose
from smtproxy.session.upstream import Stray, Upstream
from smtproxy.wire.replies import Reply


def greeted(k: Carriage, upstream: Upstream, octets: bytes) -> None:
    """Take octets of a server that is being greeted."""
    for got in upstream.receive(octets):
        if isinstance(got, Stray):
            next_server(k, "no SMTP" if got.reply is None else "talks unasked", got.reply)
            return
        command = upstream.opening(got)
        if upstream.broken:
            reply = got.reply
            if reply.kind == 5:
                k.blamed = True
                k.misconfigured(got.awaited.purpose, reply)
            k.full = k.full or reply.code == 421
            next_server(k, "full" if reply.code == 421 else upstream.broken, reply)
            return
        if command and upstream.unread:
            # It spoke on before it was asked: its EHLO answer could not be told from that.
            next_server(k, "talks unasked")
            return
        if command:
            k.out.append(Forward(command))
            k.patience(Purpose.EHLO)
        elif upstream.ready:
            if upstream.unread:
                next_server(k, "talks unasked")
            else:
                reached(k, upstream)
            return


def next_server(k: Carriage, reason: str, reply: Reply | None = None) -> None:
    """The server reached is of no use: try another one, each of them once."""
    if k.upstream is not None:
        k.tried |= {k.upstream.server}
    k.close(reason=reason, reply=reply)
    k.open()


def suits(k: Carriage, upstream: Upstream) -> bool:
    """Check what the envelope needs against the very server that is to get it; if it lacks something: the next server.

    For each write, as a later RCPT or transaction can need more than what the connection was opened for.
    """
    envelope = k.dialogue.envelope
    if envelope is None or all(upstream.capabilities.has(keyword) for keyword in envelope.requires):
        return True
    k.cannot = True
    next_server(k, "")
    return False


def reached(k: Carriage, upstream: Upstream) -> None:
    """Greeting and hello are over. What the envelope needs is checked against this very server; nothing is stripped."""
    if not suits(k, upstream):
        return
    if k.unproven:
        k.look()
    elif k.job is Job.OPEN:
        k.rest()
    else:
        forwarding.send_next(k, upstream)
