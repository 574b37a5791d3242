"""What happens to a relay (events), what it wants done (effects), and what it waits for.

Plain data on purpose: a schedule of events and the effects they caused is all that a test needs to see. `Judge` and
`Look` are answered on the spot by `Judged` and `Looked` wherever the answer is at hand, without any task or wait.
"""

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

from smtproxy.session.answers import Own
from smtproxy.session.dialogue import Tls
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.upstream import Upstream
from smtproxy.session.verdicts import Stage, Verdict
from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.values import value


@hashed_by_identity
class Wait(Enum):
    """The one thing a relay waits for."""

    CLIENT = "client"
    BACKEND = "backend"
    VERDICT = "verdict"
    LOOK = "look"
    STORAGE = "storage"
    DELAY = "delay"
    PACE = "pace"
    """Until the next octets of a body may be taken."""
    TLS = "tls"
    """A handshake with the client."""
    END = "end"


# Events


@value
class Started:
    """The client is connected. The first event, once."""

    early: bool = False
    """It has said something already."""
    known: bool = False
    """It was patient before, or has a good history: no banner is held back for it."""
    good: bool = False
    """It has a good history, or is exempt from every judgement: an overload does not fall on it first."""


@value
class TurnedAway:
    """The connection is not to be served, for a reason that lies before the dialogue. Comes instead of `Started`."""

    ended: str
    """How the session ended, for the log."""
    by: str
    """Who decided."""
    note: Mapping[str, object]
    """What was found, in the form of the log."""
    says: Own | None = None
    """The occasion of our only words, in place of a banner; None: it hears none."""


@value
class ClientBytes:
    """Octets from the client, never empty."""

    octets: bytes
    since: float | None = None
    """When they came, at the earliest, on the clock of the events; None: now. They may have lain in the kernel while
    the session waited for something else, and a sender's timer runs from its final dot, not from our reading it."""


@value
class ClientClosed:
    """The client is gone: end of file, reset, or hung up while nobody read."""

    how: str = "closed"
    """closed (end of file), reset, or lost (found by a look or by the sweeper)."""


@value
class Secured:
    """The handshake with the client is finished: what it says from here on is protected."""

    tls: Tls


@value
class NotSecured:
    """The handshake with the client failed; nothing more can be said to it."""

    why: str


@value
class BackendOpened:
    """A connection to a backend server is being made; its greeting, or its failure, comes next."""

    upstream: Upstream


@value
class BackendSecured:
    """The handshake with the backend server is finished."""

    tls: Tls


@value
class BackendNotSecured:
    """The handshake with the backend server failed; nothing more can be said on this connection."""

    why: str


@value
class BackendFailed:
    """No connection could be had."""

    reason: str
    """none (no server left to try), full (no place within the bounded wait), refused, timeout, ..."""


@value
class BackendBytes:
    """Octets from the backend, never empty."""

    octets: bytes
    client_gone: bool = False
    """After the commit: the client was looked at, and is gone (HUP or ERR). It cannot be told what the backend said."""
    early: bool = False
    """They cut off a write to the backend, which will never be finished."""


@value
class BackendClosed:
    """End of file or an error on the backend's connection."""

    how: str = "closed"


@value
class Withdrawn:
    """Not one octet of the terminator was taken, and will not be: the commit did not happen.

    The backend spoke, ended, or read nothing until `commit_by`. The connection must be closed.
    """


@value
class Judged:
    """The answer to `Judge`."""

    verdict: Verdict


@value
class Looked:
    """The answer to `Look`. Empty and false means that nothing was seen."""

    octets: bytes = b""
    closed: bool = False
    client_gone: bool = False


@value
class Stored:
    """The answer to `Keep`."""

    failed: str = ""
    """Why the octets could not be kept (disk full ...); empty: they are kept."""


@value
class Recall:
    """Others wait for a place: give the backend connection back if nobody is using it."""


@value
class Timeout:
    """The deadline of the present wait has passed."""


@value
class Shutdown:
    """The proxy drains: finish the transaction, then say goodbye."""

    now: bool = False
    """Say goodbye at once, unless a message is committed."""


@value
class Crashed:
    """Something in the process broke that has nothing to do with either peer: end honestly, commit nothing."""


Event: TypeAlias = (
    Started
    | TurnedAway
    | ClientBytes
    | ClientClosed
    | Secured
    | NotSecured
    | BackendOpened
    | BackendSecured
    | BackendNotSecured
    | BackendFailed
    | BackendBytes
    | BackendClosed
    | Withdrawn
    | Judged
    | Looked
    | Stored
    | Recall
    | Timeout
    | Shutdown
    | Crashed
)

# Effects


@value
class Answer:
    """Octets for the client."""

    octets: bytes


@value
class StartTls:
    """Begin TLS with the client, as its server. Answered by `Secured` or `NotSecured`, when the handshake is over."""


@value
class SecureBackend:
    """Begin TLS with the backend server, as its client. Answered by `BackendSecured` or `BackendNotSecured`, later."""


@value
class Judge:
    """Ask the policy about the dialogue as it stands. Answered by `Judged`."""

    stage: Stage


@value
class OpenBackend:
    """Get a connection to a server that is not among those tried. Answered by `BackendOpened` or `BackendFailed`."""

    tried: frozenset[str]
    fresh: bool = False
    """A warm connection turned out to be stale: make a new one."""


@value
class Look:
    """Read the backend without blocking, and see whether the client is still there. Answered by `Looked`."""

    client: bool = False
    """The look before the commit: is the client gone (HUP or ERR)?"""


@value
class Forward:
    """Octets for the backend. Never a terminator."""

    octets: bytes


@value
class ForwardKept:
    """Send what was kept on disk to the backend. Never a terminator."""


@value
class Commit:
    """Hand the terminator to the kernel, in one piece. Emitted by one function only."""

    octets: bytes


@value
class Keep:
    """Append octets of a held body to the session's file. Answered by `Stored`."""

    octets: bytes


@value
class DropKept:
    """Forget what was kept on disk."""


@value
class CloseBackend:
    """Let the backend connection go. `farewell` (QUIT) is sent if it can be at once; it never ends a message."""

    farewell: bytes = b""
    warm: Upstream | None = None
    """The connection may serve another session: a message went well on it, nothing was refused, nothing is open."""
    reason: str = ""
    """Empty for an ordinary end; else what was wrong with the server (health)."""
    reply: str = ""
    """The server's reply that was wrong, for the log."""
    no_tls: str = ""
    """Why a handshake with it failed, where clear text will do: the next connection is to be one in clear text."""


@value
class Record:
    """A log line."""

    event: LogEvent
    fields: Mapping[str, object]


@value
class Finish:
    """The session is over: close the client's connection."""


Effect: TypeAlias = (
    Answer
    | StartTls
    | SecureBackend
    | Judge
    | OpenBackend
    | Look
    | Forward
    | ForwardKept
    | Commit
    | Keep
    | DropKept
    | CloseBackend
    | Record
    | Finish
)
