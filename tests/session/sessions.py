"""Random sessions for the property tests: what an honest client says, and how a network and a policy may treat it.

Honest means that a body is sent after a 354 only, and each octet of a chunk that was announced; everything else may be
wrong. A session is data, so that a failing
one shrinks and can be printed.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from smtproxy.policy.checks import protocol_errors, recipient_domain
from smtproxy.policy.judge import Check, Policy
from smtproxy.sample.profile import Profile
from smtproxy.sample.profiles import EXCHANGE, EXCHANGE_SERIAL
from smtproxy.sample.script import Point, Rule, Script, reply
from smtproxy.session import events
from smtproxy.session.limits import Limits
from smtproxy.session.settings import BodyMode, Chunking, OpenMode, RelaySettings
from smtproxy.session.verdicts import Refused, Stage, Verdict
from smtproxy.wire.replies import Reply
from tests.fakes.heard import Heard, read_replies
from tests.fakes.laboratory import Laboratory
from tests.wire.pieces import octets

END = b"\r\n.\r\n"
REFUSAL = Reply(550, (b"5.7.1 no such mail here",))
_LIMITS = Limits(body_memory=64, chunk=16, chunk_end=4)

_SMALL_TALK = (
    *(b"NOOP", b"RSET", b"VRFY someone", b"HELP", b"EXPN list", b"STARTTLS", b"XYZZY", b"", b"\xff\xfb"),
    *(b"EHLO again.example", b"HELO again.example", b"MAIL FROM:<", b"MAIL FROM:<a@b> SIZE=x", b"RCPT TO:<>"),
    *(b"RCPT TO:<early@example.org>", b"noop\t", b"MAIL FROM:<a@b> AUTH=<>"),
)
_RECIPIENTS = (b"<one@example.org>", b"<two@example.org>", b"<far@elsewhere.example>", b"<postmaster>", b"<bad")
CHECK = "some_check"


@dataclass(frozen=True, slots=True)
class Mail:
    """A transaction as a client pipelines it."""

    recipients: tuple[bytes, ...]
    body: bytes
    """Octets between the 354 and the terminator; they do not end before it."""
    refused: bool
    """The policy refuses it once it is whole."""
    chunks: tuple[int, ...] | None
    """It is sent by BDAT, in chunks of these sizes and one more; None: by DATA."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a client does, and what it meets."""

    moves: tuple[tuple[bytes, ...] | Mail, ...]
    body: BodyMode
    open: OpenMode
    pipelining: bool
    """The backend offers PIPELINING."""
    chunking: Chunking
    script: tuple[Rule, ...] = ()

    @property
    def streams_chunks(self) -> bool:
        """How the backend's octets are cut into chunks depends on the network."""
        by_chunks = any(isinstance(one, Mail) and one.chunks is not None for one in self.moves)
        return self.chunking is Chunking.ALWAYS or (by_chunks and self.chunking is Chunking.MIRROR)

    @property
    def profile(self) -> Profile:
        """The backend."""
        return EXCHANGE if self.pipelining else EXCHANGE_SERIAL

    @property
    def settings(self) -> RelaySettings:
        """The relay's settings."""
        return RelaySettings("mx.example.org", body=self.body, open=self.open, chunking=self.chunking, limits=_LIMITS)


@dataclass(slots=True)
class Network:
    """How octets are cut and verdicts are late: what nothing may depend on."""

    client: Callable[[bytes], Sequence[bytes]] = lambda octets: [octets]
    backend: Callable[[bytes], Sequence[bytes]] = lambda octets: [octets]
    late: Callable[[int], bool] = lambda _: False
    """Whether the verdict with this number comes as an event of its own."""


@dataclass(slots=True)
class Told:
    """A session that is over."""

    lab: Laboratory
    commands: list[bytes] = field(default_factory=list)
    """What the client sent and is owed a reply for, the connection itself first."""

    @property
    def replies(self) -> list[Heard]:
        """What it heard."""
        return read_replies(self.lab.heard)[0]


def sessions() -> st.SearchStrategy[Session]:
    """Any session of an honest client, against a backend that refuses some of it."""
    bodies = octets(30).map(lambda body: body or b"empty").filter(_ends_at_its_end)
    mails = st.builds(
        Mail,
        recipients=st.lists(st.sampled_from(_RECIPIENTS), min_size=1, max_size=3).map(tuple),
        body=bodies,
        refused=st.booleans(),
        chunks=st.none() | st.lists(st.integers(0, 12), max_size=3).map(tuple),
    )
    # RFC 2920 3.1: DATA is the last one of a group, as its client must wait for the reply.
    talk = st.tuples(st.lists(st.sampled_from(_SMALL_TALK), min_size=1, max_size=3), st.sampled_from(((), (b"DATA",))))
    groups = talk.map(lambda both: (*both[0], *both[1]))
    refusals = st.sampled_from((Point.MAIL, Point.RCPT, Point.DATA, Point.FINAL)).flatmap(
        lambda at: st.builds(
            Rule,
            at=st.just(at),
            do=st.sampled_from(((reply("450 4.2.0 later"),), (reply("550 5.1.1 never"),))),
            nth=st.integers(1, 2),
        )
    )
    return st.builds(
        Session,
        moves=st.lists(mails | groups, max_size=4).map(tuple),
        body=st.sampled_from(BodyMode),
        open=st.sampled_from(OpenMode),
        pipelining=st.booleans(),
        chunking=st.sampled_from(Chunking),
        script=st.lists(refusals, max_size=2).map(tuple),
    )


def _ends_at_its_end(body: bytes) -> bool:
    return (b"\r\n" + body + END).find(END) == len(body) + 2


def tell(session: Session, network: Network | None = None) -> Told:
    """Play a session over a network; every client says EHLO first and QUIT at last."""
    world = network or Network()
    lab = Laboratory(session.settings, profile=session.profile, script=Script(session.script), policy=_POLICY)
    told = Told(lab, [b""])
    mail: Mail | None = None
    belated: list[Verdict] = []
    asked = 0

    def judge(stage: Stage) -> Verdict | None:
        nonlocal asked
        asked += 1
        refused = stage is Stage.MESSAGE and mail is not None and mail.refused
        verdict = Refused(stage, REFUSAL, CHECK) if refused else lab.verdict(stage)
        if not world.late(asked):
            return verdict
        belated.append(verdict)
        return None

    def wait() -> events.Event | None:
        if lab.relay.waits_for is events.Wait.VERDICT and belated:
            return events.Judged(belated.pop())
        inbox = lab.line.inbox if lab.line is not None else deque[events.BackendBytes | events.BackendClosed]()
        first = inbox[0] if inbox else None
        if isinstance(first, events.BackendBytes):
            inbox.popleft()
            inbox.extendleft(events.BackendBytes(piece) for piece in reversed(world.backend(first.octets)) if piece)
        return None

    def say(*lines: bytes) -> int:
        """Send lines in one segment; return the code of the last reply."""
        told.commands.extend(lines)
        for piece in world.client(b"".join(line + b"\r\n" for line in lines)):
            lab.send(piece)
        return lab.codes[-1]

    lab.on_judge, lab.on_wait = judge, wait
    lab.start()
    say(b"EHLO client.example")
    for move in session.moves:
        if not isinstance(move, Mail):
            say(*move)
            continue
        mail = move
        group = (b"MAIL FROM:<me@client.example>", *(b"RCPT TO:" + to for to in move.recipients))
        if move.chunks is not None:
            say(*group)
            if 250 in lab.codes[-len(move.recipients) :]:
                chunks = _chunks(move.body, move.chunks)
                told.commands.extend([*[b"BDAT"] * len(move.chunks), b"."])
                for piece in world.client(chunks):
                    lab.send(piece)
            else:
                say(b"RSET")
            continue
        if say(*group, b"DATA") != 354:
            say(b"RSET")
            continue
        told.commands.append(b".")
        for piece in world.client(move.body + END):
            lab.send(piece)
    say(b"QUIT")
    return told


def _chunks(body: bytes, sizes: Sequence[int]) -> bytes:
    """All chunks of a body."""
    said = b""
    for size in sizes:
        piece, body = body[:size], body[size:]
        said += b"BDAT %d\r\n" % len(piece) + piece
    return said + b"bdat %d last\r\n" % len(body) + body


_POLICY = Policy(
    (
        Check(recipient_domain.CHECK, recipient_domain.RecipientDomainOptions(frozenset({"example.org"}))),
        # Patience without end: a delay would give the backend connection back, at a moment that depends on the cuts.
        Check(protocol_errors.CHECK, protocol_errors.ProtocolErrorsOptions(soft=10_000, hard=10_000)),
    )
)
