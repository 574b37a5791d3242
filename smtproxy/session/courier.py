"""The backend's half of a session: one envelope carried to one server, and the only place where a message is committed.

The courier opens connections, replays the envelope, sends groups of commands, pairs their replies with slots, moves the
body, and commits. Its rules, all of them from incidents of other proxies:

* Before each write the backend is looked at (`Look` -> `Looked`). A reply that nobody waits for, or end of file, means
  *not this connection*: between commands it is reopened and the envelope replayed once; inside a body the message fails.
* Everything that can fail ends in `failure`, a reply the client may hear, and with the connection closed. Closing never
  sends a terminator: the terminator leaves in `_commit` and nowhere else, and `_commit` wants the accepting verdict.
* After the commit only the backend's reply, its end, or the end-of-data timer ends the wait.

Sans-IO: effects are appended to the list it shares with the relay, in order.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from smtproxy.session.answers import Own, Phrases
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.envelope import Recipient
from smtproxy.session.events import (
    BackendBytes,
    BackendClosed,
    BackendFailed,
    BackendOpened,
    CloseBackend,
    Commit,
    Effect,
    Forward,
    ForwardKept,
    Look,
    Looked,
    OpenBackend,
    Record,
)
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.settings import RelaySettings
from smtproxy.session.slots import Purpose, Slot
from smtproxy.session.upstream import MISCONFIGURED, Paired, Stray, Upstream
from smtproxy.session.verdicts import Accepted, Stage
from smtproxy.wire.commands import compose_rcpt
from smtproxy.wire.replies import Reply

_QUIT = b"QUIT\r\n"


class Stand(Enum):
    """Where the backend's half stands."""

    IDLE = "idle"
    """No connection."""
    OPENING = "opening"
    """A connection was asked for, or its greeting and hello are going on."""
    READY = "ready"
    """Connected; nothing is owed to us."""
    LOOKING = "looking"
    """The look before a write."""
    WAITING = "waiting"
    """Commands are out, replies are owed."""
    STREAMING = "streaming"
    """The backend said 354: it takes the body."""
    COMMITTED = "committed"
    """The terminator was handed over. The contract's item 9 rules from here."""


class Job(Enum):
    """What the relay asked for."""

    OPEN = "open"
    """Connect, nothing more."""
    GROUP = "group"
    """Forward a group of commands."""
    DATA = "data"
    """Get the backend's go-ahead for the body."""
    BODY = "body"
    """Send octets of the body."""
    COMMIT = "commit"
    """End the message."""


class Fate(Enum):
    """What became of a committed message."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Heard:
    """What the client may hear of the backend's half, and whose words they are."""

    reply: Reply
    by: str
    """backend or protocol."""


_PATIENCE = {
    Purpose.GREETING: "greeting_time",
    Purpose.EHLO: "hello_time",
    Purpose.HELO: "hello_time",
    Purpose.RSET: "mail_time",
    Purpose.MAIL: "mail_time",
    Purpose.RCPT: "recipient_time",
    Purpose.DATA: "data_time",
    Purpose.END_OF_DATA: "end_of_data_time",
}


class Courier:
    """The backend's half of one session."""

    __slots__ = (
        "_accepted",
        "_body",
        "_cannot",
        "_dialogue",
        "_dirty",
        "_in_sync",
        "_job",
        "_kept",
        "_mail_slot",
        "_out",
        "_phrases",
        "_queue",
        "_retried",
        "_settings",
        "_tried",
        "backend_reply",
        "commit_fields",
        "commits",
        "connections",
        "deadline",
        "failure",
        "fate",
        "final",
        "idle_since",
        "replays",
        "server",
        "stand",
        "terminator",
        "transaction",
        "upstream",
    )

    def __init__(self, out: list[Effect], dialogue: Dialogue, settings: RelaySettings, phrases: Phrases) -> None:
        """Start without a connection. `out` is where effects go."""
        self._out = out
        self._dialogue = dialogue
        self._settings = settings
        self._phrases = phrases
        self._job: Job | None = None
        self._queue: deque[tuple[Purpose, Slot | None, bytes]] = deque()
        self._tried: frozenset[str] = frozenset()
        self._retried = False
        self._cannot = False
        self._in_sync = False
        self._dirty = False
        self._mail_slot: Slot | None = None
        self._body = b""
        self._kept = False
        self._accepted: Accepted | None = None
        self.stand = Stand.IDLE
        self.upstream: Upstream | None = None
        self.deadline = 0.0
        """When the present wait ends, on the clock of the events."""
        self.idle_since = 0.0
        """Since when the connection has had nothing to do."""
        self.connections = 0
        self.replays = 0
        self.commits = 0
        self.server = ""
        """The server used last."""
        self.failure: Heard | None = None
        """Why the last job failed; None while it has not."""
        self.final: Heard | None = None
        """What the client may hear of a committed message."""
        self.fate: Fate | None = None
        """What became of the committed message."""
        self.backend_reply: Reply | None = None
        """The backend's own reply to the final dot, or the one that ended the transaction."""
        self.commit_fields: dict[str, object] = {}
        self.terminator = b""
        self.transaction = ""

    # What the relay sees

    @property
    def busy(self) -> bool:
        """Whether a job is going on."""
        return self._job is not None

    @property
    def looking(self) -> bool:
        """Whether the look before a write is awaited."""
        return self.stand is Stand.LOOKING

    @property
    def idle(self) -> bool:
        """Whether a connection is held that has nothing to do and may be given back."""
        return self.stand is Stand.READY

    @property
    def streaming(self) -> bool:
        """Whether the backend takes the body."""
        return self.stand is Stand.STREAMING

    @property
    def committed(self) -> bool:
        """Whether the terminator left and the fate is open."""
        return self.stand is Stand.COMMITTED

    # What the relay asks

    def begin(self, transaction: str) -> None:
        """A new transaction starts: forget the fate of the last one."""
        self.transaction = transaction
        self.failure = self.final = self.fate = None
        self.backend_reply = None
        self.replays = 0
        self.server = ""
        self._in_sync = False

    def open(self) -> None:
        """Connect ahead of time (`open = "connect"`)."""
        self._start(Job.OPEN)

    def group(self, slots: list[Slot]) -> None:
        """Forward the commands of these slots; their answers are set when the job is over."""
        for slot in slots:
            if slot.recipient is None:
                self._mail_slot = slot
            else:
                recipient = slot.recipient
                self._queue.append((Purpose.RCPT, slot, compose_rcpt(recipient.path, recipient.parameters)))
        self._start(Job.GROUP)

    def start_data(self) -> None:
        """Get a 354 for the accepted recipients, wherever they have to be replayed."""
        self._start(Job.DATA)

    def send_body(self, octets: bytes, *, kept: bool = False) -> None:
        """Send octets of the body, before them what was kept on disk if asked. Only while `streaming`."""
        self._body, self._kept = octets, kept
        self._start(Job.BODY)

    def finish(self, accepted: Accepted, terminator: bytes, fields: dict[str, object]) -> None:
        """Commit the message, if the look before it shows nothing. Only while `streaming`."""
        self._accepted, self.terminator, self.commit_fields = accepted, terminator, fields
        self._start(Job.COMMIT)

    def release(self) -> None:
        """Give an idle connection back; the envelope will be replayed when a command needs it."""
        if self.stand is Stand.READY:
            self._close(farewell=True)

    def abandon(self) -> None:
        """The transaction ends here, without a commit: whatever the backend has of it is worth nothing."""
        match self.stand:
            case Stand.IDLE | Stand.COMMITTED:
                return
            case Stand.READY:
                self._dirty = self._dirty or self._in_sync
                self._in_sync = False
            case _:
                self._close()
                self._end()

    def close(self) -> None:
        """Let go of the connection at the end of the session. Never a terminator, never a word inside a body."""
        if self.stand is not Stand.IDLE:
            self._close(farewell=self.stand is Stand.READY)
        self._end()

    # What happens

    def opened(self, event: BackendOpened) -> None:
        """Take a connection that is being made, or a warm one that is ready."""
        if self.stand is not Stand.OPENING:
            return
        self.upstream = upstream = event.upstream
        self.server = upstream.server
        self.connections += 1
        self._dirty = self._in_sync = False
        if upstream.ready:
            self._reached(upstream)
        else:
            self._patience(Purpose.GREETING)

    def could_not_open(self, event: BackendFailed) -> None:
        """No connection is to be had."""
        if self.stand is not Stand.OPENING:
            return
        if self._cannot:
            self._fail(Own.BACKEND_CANNOT)
        else:
            self._fail(Own.NO_PLACE if event.reason == "full" else Own.NO_BACKEND)

    def looked(self, event: Looked) -> bool:
        """Act on a look; return False if the client was seen to be gone before a commit."""
        if self.stand is not Stand.LOOKING:
            return True
        upstream = self.upstream
        if event.octets or event.closed or upstream is None or upstream.unread:
            self._surprised(event)
        elif self._job is Job.COMMIT:
            if event.client_gone:
                return False
            self._try_commit()
        elif self._job is Job.BODY:
            self._send_body()
        else:
            self._send_next(upstream)
        return True

    def received(self, event: BackendBytes) -> None:
        """Take octets of the backend, whenever they come."""
        upstream = self.upstream
        if upstream is None:
            return
        match self.stand:
            case Stand.OPENING:
                self._greeted(upstream, event.octets)
            case Stand.WAITING:
                self._answered(upstream, event.octets)
            case Stand.COMMITTED:
                self._judged_by_backend(upstream, event.octets)
            case Stand.STREAMING | Stand.LOOKING | Stand.READY:
                self._surprised(Looked(octets=event.octets))
            case Stand.IDLE:
                pass

    def lost(self, event: BackendClosed) -> None:
        """Take the end of the backend's connection, whenever it comes."""
        match self.stand:
            case Stand.IDLE:
                return
            case Stand.OPENING if self.upstream is not None:
                self._next_server(event.how)
            case Stand.WAITING:
                self._fail(Own.BACKEND_LOST)
            case Stand.COMMITTED:
                self._close()
                self._decided(Fate.UNKNOWN, None, self._phrases.say(Own.UNKNOWN_OUTCOME), "protocol")
            case Stand.STREAMING | Stand.LOOKING | Stand.READY:
                self._surprised(Looked(closed=True))
            case Stand.OPENING:
                pass

    def too_late(self, own: Own | None = None) -> None:
        """The deadline of the present wait passed; `own` says more than the courier knows (commit_by)."""
        match self.stand:
            case Stand.COMMITTED:
                self._close(reason="silent after the final dot")
                self._decided(Fate.UNKNOWN, None, self._phrases.say(Own.UNKNOWN_OUTCOME), "protocol")
            case Stand.OPENING if own is None and self.upstream is not None:
                self._next_server("timeout")
            case Stand.OPENING if own is None:
                self._fail(Own.NO_PLACE)
            case Stand.OPENING | Stand.WAITING | Stand.LOOKING | Stand.STREAMING:
                self._fail(own or Own.BACKEND_SILENT)
            case Stand.IDLE | Stand.READY:
                pass

    # Opening

    def _start(self, job: Job) -> None:
        self._job = job
        self._retried = False
        self._cannot = False
        self._tried = frozenset()
        self.failure = None
        if self.upstream is None:
            if job in (Job.BODY, Job.COMMIT):
                self._fail(Own.BACKEND_LOST)
            else:
                self._open()
        else:
            self._look()

    def _open(self) -> None:
        self.stand = Stand.OPENING
        envelope = self._dialogue.envelope
        self.deadline = self._dialogue.now + self._settings.limits.place_time
        self._out.append(OpenBackend(self._tried, frozenset() if envelope is None else envelope.requires))

    def _greeted(self, upstream: Upstream, octets: bytes) -> None:
        for got in upstream.receive(octets):
            if isinstance(got, Stray):
                self._next_server("no SMTP" if got.reply is None else "talks unasked", got.reply)
                return
            command = upstream.opening(got)
            if upstream.broken:
                reply = got.reply
                if reply.kind == 5:
                    self._misconfigured(got.awaited.purpose, reply)
                self._next_server("full" if reply.code == 421 else upstream.broken, reply)
                return
            if command:
                self._out.append(Forward(command))
                self._patience(Purpose.EHLO)
            elif upstream.ready:
                if upstream.unread:
                    self._next_server("talks unasked")
                else:
                    self._reached(upstream)
                return

    def _next_server(self, reason: str, reply: Reply | None = None) -> None:
        """The server reached is of no use: try another one, each of them once."""
        if self.upstream is not None:
            self._tried |= {self.upstream.server}
        self._close(reason=reason, reply=reply)
        self._open()

    def _reached(self, upstream: Upstream) -> None:
        """Greeting and hello are over. What the envelope needs is checked against this very server; nothing is stripped."""
        envelope = self._dialogue.envelope
        if envelope is not None and not all(upstream.capabilities.has(keyword) for keyword in envelope.requires):
            self._cannot = True
            self._next_server("")
            return
        if self._job is Job.OPEN:
            self.stand = Stand.READY
            self._end()
        else:
            self._send_next(upstream)

    # Commands

    def _look(self) -> None:
        self.stand = Stand.LOOKING
        self._out.append(Look(client=self._job is Job.COMMIT))

    def _prepare(self) -> None:
        """Put what the backend is missing in front of the queue: RSET, MAIL, the recipients it does not know."""
        envelope = self._dialogue.envelope
        if self._in_sync or envelope is None:
            return
        front: list[tuple[Purpose, Slot | None, bytes]] = []
        if self._dirty:
            front.append((Purpose.RSET, None, b"RSET\r\n"))
        front.append((Purpose.MAIL, self._mail_slot, envelope.mail()))
        replay = envelope.replay()
        front.extend((Purpose.RCPT, None, command) for command in replay)
        if replay:
            self.replays += 1
        self._queue.extendleft(reversed(front))
        self._in_sync = True
        self._dirty = False

    def _send_next(self, upstream: Upstream) -> None:
        """Send as much of the queue as may leave in one write, or go on to the next step of the job."""
        self._prepare()
        if self._queue:
            many = self._settings.limits.group if upstream.capabilities.has("PIPELINING") else 1
            octets = []
            for _ in range(min(many, len(self._queue))):
                purpose, slot, command = self._queue.popleft()
                upstream.expect(purpose, slot)
                octets.append(command)
            self._out.append(Forward(b"".join(octets)))
        elif self._job is Job.DATA:
            # DATA stands alone behind the replies to all RCPTs: an unwanted 354 cannot happen by a race.
            upstream.expect(Purpose.DATA)
            self._out.append(Forward(b"DATA\r\n"))
        else:
            self.stand = Stand.READY
            self._end()
            return
        self.stand = Stand.WAITING
        self._patience(upstream.waiting_for)

    def _answered(self, upstream: Upstream, octets: bytes) -> None:
        for got in upstream.receive(octets):
            if isinstance(got, Stray):
                self._fail(Own.BACKEND_NONSENSE)
                return
            self._pair(got)
            if self.stand is not Stand.WAITING:
                break
        if self.stand is Stand.STREAMING and upstream.unread:
            self._surprised(Looked())
        if self.stand is not Stand.WAITING:
            return
        if upstream.owes:
            self._patience(upstream.waiting_for)
        elif upstream.unread:
            self._fail(Own.BACKEND_NONSENSE)
        elif self._queue or self._job is Job.DATA:
            self._look()
        else:
            self.stand = Stand.READY
            self._end()

    def _pair(self, got: Paired) -> None:
        """Act on one reply to a command. RFC 5321 4.3.2"""
        reply, purpose, slot = got.reply, got.awaited.purpose, got.awaited.slot
        if reply.code == 421:
            # RFC 5321 3.8: the server is going away. Never passed on: the client's session with us lives.
            self.backend_reply = reply
            self._fail(Own.BACKEND_LOST, reason="421", reply=reply)
            return
        own: Own | None = None
        if reply.code in MISCONFIGURED and not self._follows_refusal(purpose):
            self._misconfigured(purpose, reply)
            own = Own.BACKEND_MISCONFIGURED
        match purpose:
            case Purpose.RSET:
                if reply.kind != 2:
                    self._fail(own or Own.BACKEND_NONSENSE)
            case Purpose.MAIL:
                self._pair_mail(reply, slot, own)
            case Purpose.RCPT:
                self._pair_rcpt(reply, slot, own)
            case Purpose.DATA:
                self._pair_data(reply, own)
            case _:
                self._fail(Own.BACKEND_NONSENSE)

    def _follows_refusal(self, purpose: Purpose) -> bool:
        """Whether MAIL was refused just before: then 503 to a pipelined RCPT is no fault of the link."""
        envelope = self._dialogue.envelope
        return purpose is Purpose.RCPT and envelope is not None and envelope.sender_reply is not None

    def _pair_mail(self, reply: Reply, slot: Slot | None, own: Own | None) -> None:
        envelope = self._dialogue.envelope
        if envelope is None or reply.kind not in (2, 4, 5):
            self._fail(Own.BACKEND_NONSENSE)
            return
        self._mail_slot = None
        if reply.kind == 2 and own is None:
            if slot is not None:
                slot.answer, slot.by = reply, "backend"
            return
        self._in_sync = False
        self.backend_reply = reply
        heard, by = (reply, "backend") if own is None else (self._phrases.say(own), "protocol")
        if slot is not None:
            slot.answer, slot.by = heard, by
        elif envelope.accepted:
            # A replay that the server answers differently than before: the recipients were promised, so 451.
            self._fail(own or Own.BACKEND_CHANGED, reply=reply)
        else:
            envelope.sender_reply, envelope.sender_by = heard, by
            self._refuse_queue(heard, by)

    def _refuse_queue(self, heard: Reply, by: str) -> None:
        """MAIL was refused: commands still in the queue are not sent, and are answered with the same reply."""
        for _, slot, _ in self._queue:
            if slot is not None:
                self._settle(slot, heard, by)
        self._queue.clear()

    def _pair_rcpt(self, reply: Reply, slot: Slot | None, own: Own | None) -> None:
        envelope = self._dialogue.envelope
        if envelope is not None and envelope.sender_reply is not None:
            if slot is not None:
                self._settle(slot, envelope.sender_reply, envelope.sender_by)
            return
        if reply.kind not in (2, 4, 5):
            self._fail(Own.BACKEND_NONSENSE)
        elif slot is None:
            if reply.kind != 2:
                self._fail(own or Own.BACKEND_CHANGED, reply=reply)
        elif own is None:
            self._settle(slot, reply, "backend")
        else:
            self._settle(slot, self._phrases.say(own), "protocol")

    def _settle(self, slot: Slot, reply: Reply, by: str) -> None:
        slot.answer, slot.by = reply, by
        recipient: Recipient | None = slot.recipient
        envelope = self._dialogue.envelope
        if recipient is not None and envelope is not None:
            recipient.reply, recipient.by = reply, by
            envelope.count(recipient)

    def _pair_data(self, reply: Reply, own: Own | None) -> None:
        if reply.code == 354:
            self.stand = Stand.STREAMING
            self.backend_reply = reply
            self._end()
        elif reply.kind in (4, 5):
            self.backend_reply = reply
            if own is None:
                self._fail_with(Heard(reply, "backend"))
            else:
                self._fail(own)
        else:
            self._fail(Own.BACKEND_NONSENSE)

    # The body and its end

    def _send_body(self) -> None:
        self.stand = Stand.STREAMING
        if self._kept:
            self._out.append(ForwardKept())
        if self._body:
            self._out.append(Forward(self._body))
        self._body, self._kept = b"", False
        self.deadline = self._dialogue.now + self._settings.limits.transfer_time
        self._end()

    def _try_commit(self) -> None:
        accepted = self._accepted
        if accepted is None or accepted.stage is not Stage.MESSAGE:
            self._fail(Own.INTERNAL)
        else:
            self._commit(accepted)

    def _commit(self, accepted: Accepted) -> None:
        """Hand the terminator over. The one place that does; `accepted` is the verdict that allows it.

        The `commit` line goes first: killed in between, the log shows a commit without a `message`, which reads as unknown.
        """
        upstream = self.upstream
        if upstream is None or accepted.stage is not Stage.MESSAGE:
            return
        self._out.append(Record(LogEvent.COMMIT, self.commit_fields))
        self._out.append(Commit(self.terminator))
        upstream.expect(Purpose.END_OF_DATA)
        self._accepted = None
        self.commits += 1
        self.stand = Stand.COMMITTED
        self.deadline = self._dialogue.now + max(600.0, self._settings.limits.end_of_data_time)

    def _judged_by_backend(self, upstream: Upstream, octets: bytes) -> None:
        """Take the reply to the final dot. Contract items 1, 9 and 10."""
        for got in upstream.receive(octets):
            reply = None if isinstance(got, Stray) else got.reply
            if reply is None or reply.kind not in (2, 4, 5):
                self._close(reason="no answer to the final dot", reply=reply)
                self._decided(Fate.UNKNOWN, reply, self._phrases.say(Own.UNKNOWN_OUTCOME), "protocol")
            elif reply.code == 421:
                self._close(reason="421", reply=reply)
                self._decided(Fate.DEFERRED, reply, self._phrases.say(Own.BACKEND_LOST), "backend")
            else:
                fate = {2: Fate.DELIVERED, 4: Fate.DEFERRED, 5: Fate.REJECTED}[reply.kind]
                if upstream.unread:
                    self._close(reason="talks unasked")
                self._decided(fate, reply, reply, "backend")
            return

    def _decided(self, fate: Fate, reply: Reply | None, heard: Reply, by: str) -> None:
        self.fate = fate
        self.backend_reply = reply
        self.final = Heard(heard, by)
        if self.stand is not Stand.IDLE:
            self.stand = Stand.READY
        self._in_sync = self._dirty = False
        self._end()

    # When it goes wrong

    def _surprised(self, seen: Looked) -> None:
        """Something is there that nobody waits for. Not this connection."""
        upstream = self.upstream
        if self.stand is Stand.READY and self._job is None:
            # Between commands, found by the sweeper: the next command opens another one.
            self._close()
            return
        if self.stand is Stand.LOOKING and self._job in (Job.GROUP, Job.DATA, Job.OPEN):
            if self._retried:
                self._fail(Own.BACKEND_LOST)
                return
            self._retried = True
            self._requeue()
            self._close(reason="talks unasked" if seen.octets else "")
            self._open()
            return
        # Inside a body. DESIGN section 4, "Backend speaks before the dot".
        reply: Reply | None = None
        if upstream is not None and seen.octets:
            for got in upstream.receive(seen.octets):
                reply = got.reply
                break
            else:
                # Only the start of a reply: wait for the rest, but never write across it.
                if self.stand is Stand.STREAMING:
                    return
        self.backend_reply = reply
        if reply is None:
            self._fail(Own.BACKEND_LOST if seen.closed else Own.BACKEND_NONSENSE)
        elif reply.code == 421:
            self._fail(Own.BACKEND_LOST, reason="421", reply=reply)
        elif reply.kind in (4, 5):
            self._fail_with(Heard(reply, "backend"))
        else:
            self._fail(Own.BACKEND_NONSENSE)

    def _requeue(self) -> None:
        """Keep only the client's own commands in the queue: what is replayed is made anew for the next connection."""
        self._queue = deque(entry for entry in self._queue if entry[1] is not None and entry[0] is Purpose.RCPT)

    def _misconfigured(self, purpose: Purpose, reply: Reply) -> None:
        self._out.append(
            Record(
                LogEvent.BACKEND_MISCONFIGURED,
                {
                    "server": self.server,
                    "session": self._dialogue.session,
                    "transaction": self.transaction,
                    "command": purpose.value,
                    "reply": f"{reply.code} {reply.text}",
                },
            )
        )

    def _fail(self, own: Own, *, reason: str = "", reply: Reply | None = None) -> None:
        self._fail_with(Heard(self._phrases.say(own), "protocol"), reason=reason, reply=reply)

    def _fail_with(self, failure: Heard, *, reason: str = "", reply: Reply | None = None) -> None:
        """Close the connection; everything still unanswered in this job hears the failure."""
        self._close(reason=reason, reply=reply)
        self._queue.clear()
        self._mail_slot = None
        self.failure = failure
        self._end()

    def _close(self, *, farewell: bool = False, reason: str = "", reply: Reply | None = None) -> None:
        """Let the connection go. QUIT is said between transactions only: inside a body it would be a line of it."""
        if self.upstream is not None or self.stand is Stand.OPENING:
            text = "" if reply is None else f"{reply.code} {reply.text}"
            self._out.append(CloseBackend(_QUIT if farewell else b"", reason, text))
        self.upstream = None
        self.stand = Stand.IDLE
        self._in_sync = self._dirty = False

    def _end(self) -> None:
        self._job = None
        self._accepted = None
        self._body, self._kept = b"", False
        self.idle_since = self._dialogue.now

    def _patience(self, purpose: Purpose | None) -> None:
        if purpose is not None:
            patience: float = getattr(self._settings.limits, _PATIENCE[purpose])
            self.deadline = self._dialogue.now + patience
