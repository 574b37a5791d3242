"""The backend's half of a session: one envelope carried to one server.

The relay asks for a job (forward a group, get the go-ahead for a body, send octets of it, finish) and then sees whether
the courier is busy, what failed, what became of the message. The rules, all of them from incidents of other proxies:

* Before each write the backend is looked at (`Look` -> `Looked`). A reply nobody waits for, or end of file, means *not
  this connection*: between commands it is reopened and the envelope replayed once; inside a body the message fails.
* Everything that can fail ends in `failure`, a reply the client may hear, and with the connection closed. Closing never
  sends a terminator: it leaves in `commit.py` and nowhere else.
* After the commit only the backend's reply, its end, or the end-of-data timer ends the wait.

Sans-IO: effects are appended to the list it shares with the relay, in order.
"""

from smtproxy.session import commit, content, forwarding, opening, pairing
from smtproxy.session.answers import Own
from smtproxy.session.carriage import NO_OBSTACLES, NO_SERVERS, Carriage, Heard, Job, Stand
from smtproxy.session.events import (
    BackendBytes,
    BackendClosed,
    BackendFailed,
    BackendNotSecured,
    BackendOpened,
    BackendSecured,
    Looked,
)
from smtproxy.session.slots import Purpose, Slot
from smtproxy.session.upstream import Paired, Upstream
from smtproxy.session.verdicts import Accepted
from smtproxy.wire.replies import Reply

_TELLING = (Own.BACKEND_CANNOT, Own.BACKEND_MISCONFIGURED, Own.NO_PLACE)
"""What stood in the way, the more telling first."""


class Courier:
    """The backend's half of one session."""

    __slots__ = ("_k",)

    def __init__(self, carriage: Carriage) -> None:
        """Act on the state of the backend's half, which the relay reads."""
        self._k = carriage

    # What the relay asks

    def begin(self, transaction: str) -> None:
        """A new transaction starts: forget the fate of the last one."""
        k = self._k
        k.transaction = transaction
        k.failure = k.final = k.fate = None
        k.backend_reply = None
        k.replays = 0
        k.committed_at = None
        k.used = None
        k.in_sync = False

    def open(self) -> None:
        """Connect ahead of time (`open = "connect"`)."""
        self._start(Job.OPEN)

    def group(self, slots: list[Slot]) -> None:
        """Forward the commands of these slots; their answers are set when the job is over."""
        k = self._k
        k.slots = slots
        k.mail_slot = next((slot for slot in slots if slot.recipient is None), None)
        k.requeue()
        self._start(Job.GROUP)

    def forget_failure(self) -> None:
        """Those who waited were told: what comes next is tried anew."""
        self._k.failure = None

    def start_data(self) -> None:
        """Get the backend to take a body for the accepted recipients, wherever they have to be replayed."""
        self._start(Job.DATA)

    def send_body(self, octets: bytes) -> None:
        """Send octets of the body. Only while `streaming`."""
        k = self._k
        k.body = octets
        self._start(Job.BODY)

    def send_collected(self, octets: bytes, *, kept: int, front: bytes = b"") -> None:
        """Send what was collected before the reply that was just read, `kept` octets on disk first: no look between.

        `front` goes in front of these.
        """
        k = self._k
        k.body, k.kept, k.front = octets, kept, front
        content.send(k)

    def finish(self, accepted: Accepted, terminator: bytes, fields: dict[str, object]) -> None:
        """Commit the message, if the look before it shows nothing. Only while `streaming`."""
        k = self._k
        k.accepted, k.terminator, k.commit_fields = accepted, terminator, fields
        self._start(Job.COMMIT)

    def release(self) -> None:
        """Give an idle connection back; the envelope will be replayed when a command needs it."""
        k = self._k
        if k.stand is Stand.READY:
            k.close(farewell=True)

    def abandon(self) -> None:
        """The transaction ends here, without a commit: whatever the backend has of it is worth nothing."""
        k = self._k
        match k.stand:
            case Stand.IDLE | Stand.COMMITTED:
                return
            case Stand.READY:
                k.forsake()
            case Stand.STREAMING if k.chunked:
                # No chunk is open: RSET undoes what the backend has. RFC 3030 2
                k.forsake()
                k.rest()
            case _:
                k.close()
                k.end()

    def close(self) -> None:
        """Let go of the connection at the end of the session. Never a terminator, never a word inside a body."""
        k = self._k
        if k.stand is not Stand.IDLE:
            k.close(farewell=k.stand is Stand.READY)
        k.end()

    def opened(self, event: BackendOpened) -> None:
        """Take a connection that is being made, or a warm one that is ready."""
        k = self._k
        if k.stand is not Stand.OPENING:
            return
        k.upstream = upstream = event.upstream
        k.used = upstream
        k.connections += 1
        k.dirty = k.in_sync = False
        k.unproven = upstream.ready
        if upstream.ready:
            opening.reached(k, upstream)
        else:
            k.patience(Purpose.GREETING)

    def secured(self, event: BackendSecured) -> None:
        """TLS stands."""
        k = self._k
        if k.upstream is not None and k.upstream.handshake:
            opening.secured(k, k.upstream, event.tls)

    def not_secured(self, event: BackendNotSecured) -> None:
        """There will be no TLS on this connection."""
        k = self._k
        if k.upstream is not None and k.upstream.handshake:
            opening.not_secured(k, k.upstream, event.why)

    def could_not_open(self, event: BackendFailed) -> None:
        """No connection is to be had."""
        k = self._k
        if k.stand is not Stand.OPENING:
            return
        obstacles = k.obstacles | {Own.NO_PLACE} if event.reason == "full" else k.obstacles
        k.fail(next((own for own in _TELLING if own in obstacles), Own.NO_BACKEND))

    def looked(self, event: Looked) -> bool:
        """Act on a look; return False if the client was seen to be gone before a commit."""
        k = self._k
        if k.stand is not Stand.LOOKING:
            return True
        upstream = k.upstream
        if event.octets or event.closed or upstream is None or upstream.unread:
            self._surprised(event)
        elif k.job is Job.COMMIT:
            if event.client_gone:
                return False
            commit.try_commit(k)
        elif k.job is Job.BODY:
            content.send(k)
        elif opening.suits(k, upstream):
            forwarding.send_next(k, upstream)
        return True

    def received(self, event: BackendBytes) -> None:
        """Take octets of the backend, whenever they come."""
        k = self._k
        upstream = k.upstream
        if upstream is None:
            return
        match k.stand:
            case Stand.OPENING:
                opening.greeted(k, upstream, event.octets)
            case Stand.WAITING if event.early and k.job is Job.BODY:
                self._cut_off(upstream, event.octets)
            case Stand.WAITING:
                forwarding.answered(k, upstream, event.octets)
            case Stand.COMMITTED:
                commit.answered(k, upstream, event.octets)
            case Stand.STREAMING | Stand.LOOKING | Stand.READY:
                self._surprised(Looked(octets=event.octets))
            case Stand.IDLE:
                pass

    def lost(self, event: BackendClosed) -> None:
        """Take the end of the backend's connection, whenever it comes."""
        k = self._k
        match k.stand:
            case Stand.IDLE:
                return
            case Stand.OPENING if k.upstream is not None and k.upstream.securing:
                opening.not_secured(k, k.upstream, event.how)
            case Stand.OPENING if k.upstream is not None:
                opening.next_server(k, event.how)
            case Stand.WAITING if k.unproven and not k.retried and k.job in (Job.GROUP, Job.DATA):
                # A warm connection ended between the look and our first command: it has seen nothing of this client.
                k.reopen()
            case Stand.WAITING:
                k.fail(Own.BACKEND_LOST)
            case Stand.COMMITTED:
                commit.unknown(k)
            case Stand.STREAMING | Stand.LOOKING | Stand.READY:
                self._surprised(Looked(closed=True))
            case Stand.OPENING:
                pass

    def withdrawn(self, own: Own) -> None:
        """No octet of the terminator left: the message is not committed after all."""
        if self._k.stand is Stand.COMMITTED:
            self._k.fail(own)

    def too_late(self, own: Own | None = None) -> None:
        """The deadline of the present wait passed; `own` says more than the courier knows (commit_by)."""
        k = self._k
        match k.stand:
            case Stand.COMMITTED:
                commit.unknown(k)
            case Stand.OPENING if own is None and k.upstream is not None and k.upstream.securing:
                opening.not_secured(k, k.upstream, "timeout")
            case Stand.OPENING if own is None and k.upstream is not None:
                opening.next_server(k, "timeout")
            case Stand.OPENING if own is None:
                k.fail(Own.NO_PLACE)
            case Stand.OPENING | Stand.WAITING | Stand.LOOKING | Stand.STREAMING:
                k.fail(own or Own.BACKEND_SILENT)
            case Stand.IDLE | Stand.READY:
                pass

    def _start(self, job: Job) -> None:
        k = self._k
        k.job = job
        k.retried = False
        k.obstacles = NO_OBSTACLES
        k.tried = k.unsecured = NO_SERVERS
        k.failure = None
        if k.upstream is None:
            if job in (Job.BODY, Job.COMMIT):
                k.fail(Own.BACKEND_LOST)
            else:
                k.open()
        else:
            k.used = k.upstream
            k.look()

    def _cut_off(self, upstream: Upstream, octets: bytes) -> None:
        """The server spoke in the middle of a chunk, which it will never get whole: this connection is finished."""
        k = self._k
        got = next(upstream.receive(octets), None)
        if isinstance(got, Paired) and got.reply.kind in (4, 5):
            pairing.pair(k, got)
            k.close()
        else:
            k.fail(Own.BACKEND_LOST if got is None else Own.BACKEND_NONSENSE)

    def _surprised(self, seen: Looked) -> None:
        """Something is there that nobody waits for. Not this connection."""
        k = self._k
        upstream = k.upstream
        if k.stand is Stand.READY and k.job is None:
            # Between commands, found by the sweeper: the next command opens another one.
            k.close()
            return
        if k.stand is Stand.LOOKING and k.job in (Job.GROUP, Job.DATA, Job.OPEN):
            if k.retried:
                k.fail(Own.BACKEND_LOST)
                return
            k.reopen()
            return
        # Inside a body. DESIGN section 4, "Backend speaks before the dot".
        reply: Reply | None = None
        if upstream is not None and (seen.octets or upstream.unread):
            for got in upstream.receive(seen.octets):
                reply = got.reply
                break
            else:
                # Only the start of a reply: wait for the rest, but never write across it.
                if k.stand is Stand.STREAMING:
                    return
        k.backend_reply = reply
        if reply is None:
            k.fail(Own.BACKEND_LOST if seen.closed else Own.BACKEND_NONSENSE)
        elif reply.code == 421:
            k.fail(Own.BACKEND_LOST)
        elif reply.kind in (4, 5):
            k.fail_with(Heard(reply, "backend"))
        else:
            k.fail(Own.BACKEND_NONSENSE)
