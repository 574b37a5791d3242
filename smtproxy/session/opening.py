"""Reaching a backend server: greeting, hello, TLS, and whether this very server can take the envelope.

Each server is tried once per job. A server that refuses us blames the link, never the mail (RFC 5321 4.3.2: 5xx at
greeting or EHLO): the client hears 451 at most.
"""

from smtproxy.session import forwarding
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Job
from smtproxy.session.dialogue import Tls
from smtproxy.session.events import Forward, SecureBackend
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
            _turned_away(k, upstream, got.awaited.purpose)
        elif upstream.unread:
            # It spoke on before it was asked: its next answer could not be told from that. Behind the 220 to STARTTLS
            # it may be an attacker who speaks (CVE-2011-0411, the other way round).
            next_server(k, "talks unasked")
        elif command:
            k.out.append(Forward(command))
            k.patience(upstream.waiting_for)
            continue
        elif upstream.handshake:
            k.out.append(SecureBackend())
            k.deadline = k.dialogue.now + k.settings.limits.tls_time
        else:
            reached(k, upstream)
        return


def _turned_away(k: Carriage, upstream: Upstream, answering: Purpose) -> None:
    """The server refuses us, or has not what we insist on."""
    reply = upstream.refusal
    if reply is not None and upstream.securing and upstream.may_be_clear:
        not_secured(k, upstream, f"{reply.code} {reply.text}")
        return
    if reply is not None and reply.kind == 5:
        k.obstacles |= {Own.BACKEND_MISCONFIGURED}
        k.misconfigured(answering, reply)
    if reply is not None and reply.code == 421:
        k.obstacles |= {Own.NO_PLACE}
        next_server(k, "full", reply)
    else:
        next_server(k, upstream.broken, reply)


def secured(k: Carriage, upstream: Upstream, tls: Tls) -> None:
    """The handshake is finished: hello again."""
    k.out.append(Forward(upstream.secured(tls)))
    k.patience(Purpose.EHLO)


def not_secured(k: Carriage, upstream: Upstream, why: str) -> None:
    """There is no TLS with this server. A connection in clear text, where that may be, is a new one. RFC 7435"""
    if upstream.may_be_clear and upstream.server not in k.unsecured:
        k.unsecured |= {upstream.server}
        k.close(no_tls=why)
        k.open()
    else:
        next_server(k, f"TLS: {why}")


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
    if envelope is None:
        return True
    envelope.may_chunk = upstream.capabilities.has("CHUNKING")
    if all(upstream.capabilities.has(keyword) for keyword in envelope.requires):
        return True
    k.obstacles |= {Own.BACKEND_CANNOT}
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
