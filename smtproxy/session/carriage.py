"""The state of the backend's half of a session, and the few acts that everything else there is made of.

`opening.py`, `forwarding.py`, `pairing.py` and `commit.py` work on a `Carriage`, each on one part of the dialogue
with the backend; `courier.py` tells them what happened. Closing never sends a terminator, and whatever fails ends in
`fail_with`.
"""

from enum import Enum
from typing import TypeAlias

from smtproxy.session.answers import Own, Phrases
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.events import CloseBackend, Effect, Look, OpenBackend, Record
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.settings import RelaySettings
from smtproxy.session.slots import Purpose, Slot
from smtproxy.session.upstream import Upstream
from smtproxy.session.verdicts import Accepted
from smtproxy.wire.commands import compose_rcpt
from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.replies import Reply
from smtproxy.wire.values import value

NO_SERVERS: frozenset[str] = frozenset()
NO_OBSTACLES: frozenset[Own] = frozenset()
"""Each empty set is an object of its own, of 216 octets: one for all idle clients will do."""
_QUIT = b"QUIT\r\n"
_MAY_BE_THE_ADDRESS = frozenset({500, 501, 504, 555})

Queued: TypeAlias = tuple[Purpose, Slot | None, bytes]
"""A command that waits to be sent, and the client's command it answers."""


@hashed_by_identity
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
    """The backend takes the body: it said 354, or it may be sent chunks."""
    COMMITTED = "committed"
    """The terminator was handed over. The contract's item 9 rules from here."""


@hashed_by_identity
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


@hashed_by_identity
class Fate(Enum):
    """What became of a committed message."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"


@value
class Heard:
    """What the client may hear of the backend's half, and whose words they are."""

    reply: Reply
    by: str
    """backend or protocol."""


_PATIENCE = {
    Purpose.GREETING: "greeting_time",
    Purpose.EHLO: "hello_time",
    Purpose.HELO: "hello_time",
    Purpose.STARTTLS: "hello_time",
    Purpose.RSET: "mail_time",
    Purpose.MAIL: "mail_time",
    Purpose.RCPT: "recipient_time",
    Purpose.DATA: "data_time",
    Purpose.CHUNK: "transfer_time",
    Purpose.END_OF_DATA: "end_of_data_time",
}


class Carriage:
    """State of the backend's half. Attributes are public to this floor only."""

    __slots__ = (
        "accepted",
        "backend_reply",
        "body",
        "commit_fields",
        "committed_at",
        "complaint",
        "connections",
        "deadline",
        "dialogue",
        "dirty",
        "failure",
        "fate",
        "final",
        "front",
        "idle_since",
        "in_sync",
        "job",
        "kept",
        "mail_slot",
        "obstacles",
        "out",
        "phrases",
        "queue",
        "replays",
        "retried",
        "settings",
        "slots",
        "stand",
        "terminator",
        "transaction",
        "tried",
        "unproven",
        "unsecured",
        "upstream",
        "used",
    )

    def __init__(self, out: list[Effect], dialogue: Dialogue, settings: RelaySettings, phrases: Phrases) -> None:
        """Start without a connection. `out` is where effects go."""
        self.out = out
        self.dialogue = dialogue
        self.settings = settings
        self.phrases = phrases
        self.job: Job | None = None
        self.queue: list[Queued] = []
        """Commands to be sent. A list: an empty deque alone is 760 octets, for each idle client."""
        self.tried = NO_SERVERS
        self.unsecured = NO_SERVERS
        """Servers with which a handshake failed that had not to succeed."""
        self.retried = False
        self.obstacles = NO_OBSTACLES
        """What was in the way at the servers that were tried: what the client hears if none is left."""
        self.in_sync = False
        """The backend's transaction is a copy of the envelope."""
        self.unproven = False
        """A warm connection that has not answered us yet."""
        self.dirty = False
        """The backend has a transaction that is none of ours any more."""
        self.complaint = ""
        """What the server said that blames our dialogue; it counts against it when the connection is closed."""
        self.slots: list[Slot] = []
        """The client's commands of the present job."""
        self.mail_slot: Slot | None = None
        self.body = self.terminator = self.front = b""
        self.kept = 0  # octets on disk that go in front of `body`
        self.accepted: Accepted | None = None
        self.stand = Stand.IDLE
        self.upstream: Upstream | None = None
        self.deadline = 0.0
        """When the present wait ends, on the clock of the events."""
        self.idle_since = 0.0
        """Since when the connection has had nothing to do."""
        self.connections = 0
        self.replays = 0
        self.committed_at: float | None = None
        """When the terminator of this transaction's message left."""
        self.used: Upstream | None = None
        """The connection used last, open or not, for the log."""
        self.failure: Heard | None = None
        """Why the last job failed; None while it has not."""
        self.final: Heard | None = None
        """What the client may hear of a committed message."""
        self.fate: Fate | None = None
        """What became of the committed message."""
        self.backend_reply: Reply | None = None
        """The backend's own reply to the final dot, or the one that ended the transaction."""
        self.commit_fields: dict[str, object] = {}
        self.transaction = ""

    @property
    def server(self) -> str:
        """The server used last, host:port; empty: none was."""
        return "" if self.used is None else self.used.server

    @property
    def server_tls(self) -> str:
        """Version of TLS spoken with it; empty: clear text."""
        return "" if self.used is None or self.used.tls is None else self.used.tls.version

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
    def chunked(self) -> bool:
        """Whether the body goes by BDAT."""
        envelope = self.dialogue.envelope
        return envelope is not None and envelope.chunked

    @property
    def committed(self) -> bool:
        """Whether the terminator left and the fate is open."""
        return self.stand is Stand.COMMITTED

    def open(self) -> None:
        """Ask for a connection to a server that was not tried yet."""
        self.stand = Stand.OPENING
        self.deadline = self.dialogue.now + self.settings.limits.place_time
        self.out.append(OpenBackend(self.tried, fresh=self.retried))

    def look(self) -> None:
        """Look at the backend, and before a commit at the client, before anything is written."""
        self.stand = Stand.LOOKING
        self.out.append(Look(client=self.job is Job.COMMIT))

    def settle(self, slot: Slot, reply: Reply, by: str) -> None:
        """Give a client's command its answer."""
        slot.answer, slot.by = reply, by
        recipient = slot.recipient
        envelope = self.dialogue.envelope
        if recipient is not None and envelope is not None:
            recipient.reply, recipient.by = reply, by
            envelope.count(recipient)

    def requeue(self) -> None:
        """Queue the client's own commands that have no answer yet; what is replayed is made anew each time."""
        self.queue = []
        for slot in self.slots:
            if slot.answer is None and slot.recipient is not None:
                command = compose_rcpt(slot.recipient.path, slot.recipient.parameters)
                self.queue.append((Purpose.RCPT, slot, command))

    def distrust(self) -> None:
        """A reply too many came with those to a group: which of them answers what cannot be told, so none of them does.

        No answer of the group has left yet: its commands are asked again on another connection, once, and never hear a
        stale 250 that was paired with them.
        """
        envelope = self.dialogue.envelope
        for slot in self.slots:
            slot.answer, slot.by = None, ""
            if slot.recipient is not None and envelope is not None:
                envelope.forget(slot.recipient)
        if envelope is not None and self.slots:
            envelope.sender_reply, envelope.sender_by = None, ""
        if self.retried:
            self.fail(Own.BACKEND_NONSENSE)
        else:
            self.mail_slot = next((slot for slot in self.slots if slot.recipient is None), None)
            self.reopen()

    def reopen(self) -> None:
        """Not this connection: make a new one and replay the envelope there. Once for each job."""
        self.retried = True
        self.requeue()
        self.close()
        self.open()

    def misconfigured(self, purpose: Purpose, reply: Reply) -> None:
        """Log a reply that blames our own dialogue: it is kept from the client, and counts against the server.

        Not 500, 501, 504 and 555: what we composed has the client's address in it, and an odd or long one must not mark
        a server (Postfix says 504 to a name that is not fully qualified: non_fqdn_reject_code). A chunk has no address.
        """
        if purpose is Purpose.CHUNK or reply.code not in _MAY_BE_THE_ADDRESS:
            self.complaint = f"{reply.code} {reply.text}"
        self.out.append(
            Record(
                LogEvent.BACKEND_MISCONFIGURED,
                {
                    "backend": self.settings.backend,
                    "server": self.server,
                    "session": self.dialogue.session,
                    "transaction": self.transaction,
                    "command": purpose.value,
                    "reply": f"{reply.code} {reply.text}",
                },
            )
        )

    def fail(self, own: Own) -> None:
        """Give up with words of our own."""
        self.fail_with(Heard(self.phrases.say(own), "protocol"))

    def fail_with(self, failure: Heard) -> None:
        """Close the connection; everything still unanswered in this job hears the failure."""
        self.close()
        self.queue.clear()
        self.mail_slot = None
        self.failure = failure
        self.end()

    def close(self, *, farewell: bool = False, reason: str = "", reply: Reply | None = None, no_tls: str = "") -> None:
        """Let the connection go. QUIT is said between transactions only: inside a body it would be a line of it."""
        if self.upstream is not None or self.stand is Stand.OPENING:
            text = self.complaint if reply is None else f"{reply.code} {reply.text}"
            reason = reason or ("misconfigured" if self.complaint else "")
            warm = self._warm(farewell=farewell)
            self.out.append(CloseBackend(_QUIT if farewell else b"", warm, reason, text, no_tls))
        self.complaint = ""
        self.upstream = None
        self.stand = Stand.IDLE
        self.in_sync = self.dirty = False

    def _warm(self, *, farewell: bool) -> Upstream | None:
        """Return the connection if another session may have it. DESIGN section 4, "Warm connections"."""
        upstream = self.upstream
        if upstream is None or not farewell or upstream.worn or not upstream.messages:
            return None
        return None if self.in_sync or self.dirty or upstream.unread or upstream.owes else upstream

    def forsake(self) -> None:
        """Whatever the backend has of the transaction is worth nothing; RSET goes in front of the next one."""
        if self.in_sync and self.upstream is not None:
            self.dirty = self.upstream.worn = True
        self.in_sync = False

    def rest(self) -> None:
        """The job is done and nothing is owed: the connection is kept for the next one."""
        self.stand = Stand.READY
        self.end()

    def end(self) -> None:
        """The job is over."""
        self.job = None
        self.slots = []
        self.accepted = None
        self.body, self.kept, self.front = b"", 0, b""
        self.idle_since = self.dialogue.now

    def patience(self, purpose: Purpose | None) -> None:
        """Set the deadline for a reply. RFC 5321 4.5.3.2"""
        if purpose is not None:
            patience: float = getattr(self.settings.limits, _PATIENCE[purpose])
            self.deadline = self.dialogue.now + patience
