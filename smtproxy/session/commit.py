"""The commit: the one place from which a terminator leaves, and what the backend's answer to it means.

Contract items 1, 2, 9 and 10. Committing is never a side effect of closing, cleaning up or unwinding: `_commit` has one
caller, which has looked at both peers, and it wants the verdict that accepted this message.
"""

from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Fate, Heard, Stand
from smtproxy.session.events import Commit, Record
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.slots import Purpose
from smtproxy.session.upstream import MISCONFIGURED, Paired, Stray, Upstream
from smtproxy.session.verdicts import Accepted, Stage
from smtproxy.wire.replies import Reply

END_OF_DATA = 600.0
"""Seconds that a backend always has for its final reply. RFC 5321 4.5.3.2.6"""
_FATES = {2: Fate.DELIVERED, 4: Fate.DEFERRED, 5: Fate.REJECTED}


def try_commit(k: Carriage) -> None:
    """The look showed nothing: commit, if the verdict of stage MESSAGE allows it."""
    accepted = k.accepted
    if accepted is None or accepted.stage is not Stage.MESSAGE:
        k.fail(Own.INTERNAL)
    else:
        _commit(k, accepted)


def _commit(k: Carriage, accepted: Accepted) -> None:
    """Hand the terminator over. The one place that does; `accepted` is the verdict that allows it.

    The `commit` line goes first: killed in between, the log shows a commit without a `message`, which reads as unknown.
    """
    upstream = k.upstream
    if upstream is None or accepted.stage is not Stage.MESSAGE:
        return
    k.out.append(Record(LogEvent.COMMIT, k.commit_fields))
    k.out.append(Commit(k.terminator))
    upstream.expect(Purpose.END_OF_DATA)
    k.accepted = None
    k.stand = Stand.COMMITTED
    k.committed_at = k.dialogue.now
    k.deadline = k.dialogue.now + max(END_OF_DATA, k.settings.limits.end_of_data_time)


def answered(k: Carriage, upstream: Upstream, octets: bytes) -> None:
    """Take the reply to the final dot. Contract items 1, 9 and 10."""
    first, *more = list(upstream.receive(octets)) or (None,)
    if first is None:
        return
    reply = None if isinstance(first, Stray) else first.reply
    if reply is None or reply.kind not in (2, 4, 5) or any(_contradicts(reply, one) for one in more):
        unknown(k, reply)
    elif reply.code == 421:
        k.close()
        _decided(k, Fate.DEFERRED, reply, Heard(k.phrases.say(Own.BACKEND_LOST), "protocol"))
    elif k.chunked and reply.code in MISCONFIGURED:
        # It blames our BDAT, not the mail, and may have taken the octets for commands.
        k.misconfigured(Purpose.CHUNK, reply)
        k.close()
        _decided(k, Fate.DEFERRED, reply, Heard(k.phrases.say(Own.BACKEND_MISCONFIGURED), "protocol"))
    else:
        if reply.kind == 2:
            upstream.messages += 1
        else:
            upstream.worn = True
        if more or upstream.unread:
            k.close()
        _decided(k, _FATES[reply.kind], reply, Heard(reply, "backend"))


def _contradicts(first: Reply, more: Paired | Stray) -> bool:
    """Whether what came behind the reply makes it doubtful: of two that differ one is a stray, and nobody knows which.

    No second opinion is a 421, by which the server says goodbye (RFC 5321 3.8), or a reply that blames our dialogue:
    some old servers end the data at CRLF.CR and complain of the LF behind it, after each mail they took.
    """
    reply = more.reply
    return reply is not None and reply.code != 421 and reply.code not in MISCONFIGURED and reply.kind != first.kind


def _decided(k: Carriage, fate: Fate, reply: Reply | None, heard: Heard) -> None:
    k.fate = fate
    k.backend_reply = reply
    k.final = heard
    if k.stand is not Stand.IDLE:
        k.stand = Stand.READY
    k.in_sync = False
    # RFC 3030 2: behind a refused chunk, the last one too, the server's state is undefined until RSET.
    k.dirty = k.chunked and k.stand is Stand.READY and fate is not Fate.DELIVERED
    k.end()


def unknown(k: Carriage, reply: Reply | None = None) -> None:
    """The terminator left and no verdict came back. The client hears 451: a duplicate is possible, a loss is not."""
    k.close()
    _decided(k, Fate.UNKNOWN, reply, Heard(k.phrases.say(Own.UNKNOWN_OUTCOME), "protocol"))
