"""The octets of a body on their way to the backend: behind its 354, or in chunks. Never its end: see `commit.py`.

By BDAT the last chunk is what the final dot is by DATA, so no chunk that leaves here is the last one. Each of them is
whole before anything else is said, and is owed a reply that is paired like any other: between two chunks RSET can be
said, and a refusal costs no connection. RFC 3030 2
"""

from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Heard, Job, Stand
from smtproxy.session.events import Forward, ForwardKept
from smtproxy.session.slots import Purpose
from smtproxy.wire.chunks import compose_bdat
from smtproxy.wire.replies import Reply


def send(k: Carriage) -> None:
    """Send octets of the body, what lies on disk first."""
    upstream = k.upstream
    size = len(k.front) + k.kept + len(k.body)
    if k.chunked and size and upstream is not None:
        _pass_on(k, compose_bdat(size))
        upstream.expect(Purpose.CHUNK)
        k.job, k.stand = Job.BODY, Stand.WAITING
        k.patience(Purpose.CHUNK)
    else:
        _pass_on(k, b"")
        k.stand = Stand.STREAMING
        k.deadline = k.dialogue.now + k.settings.limits.transfer_time
        k.end()


def _pass_on(k: Carriage, command: bytes) -> None:
    octets, head = k.body, command + k.front
    if k.kept:
        if head:
            k.out.append(Forward(head))
        k.out.append(ForwardKept())
    elif head:
        octets = head + octets  # one write
    if octets:
        k.out.append(Forward(octets))


def taken(k: Carriage, reply: Reply, own: Own | None) -> None:
    """Take the reply to a chunk. `own`: the reply blames our dialogue, and this is what may be said of it."""
    if reply.kind == 2 and own is None:
        k.stand = Stand.STREAMING
        k.end()
        return
    k.backend_reply = reply
    if own is not None:
        # It may not know what a chunk is, and have taken its octets for commands: nothing more is said to it.
        k.fail(own)
        return
    if reply.kind not in (4, 5):
        k.fail(Own.BACKEND_NONSENSE)
        return
    # RFC 3030 2: what the server has of the message is undefined now, and RSET must be said. The chunk was whole.
    k.forsake()
    k.failure = Heard(reply, "backend")
    k.rest()
