"""Call-outs: a server of a backend is asked whether it takes mail for somebody, and hears RSET before any mail is sent.

MAIL FROM:<>, RCPT and RSET on connections of their own: few, kept for the next question for a moment, counted in
`max_connections` as all are, given back when sessions need them. Nothing is judged here: replies come back as they are.
The sender is the null path, which every server must take (RFC 5321 4.5.5) and which never starts a call-out there.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from smtproxy.network.backend import READ, BackendSide
from smtproxy.network.greeting import greet
from smtproxy.network.link import Link
from smtproxy.network.pool import Pool, Waiter
from smtproxy.network.tls import trouble as why_no_tls
from smtproxy.session import events
from smtproxy.session.limits import Limits
from smtproxy.session.records import Event, Journal
from smtproxy.session.slots import Purpose
from smtproxy.session.upstream import Stray, Upstream
from smtproxy.wire.commands import compose_mail, compose_rcpt
from smtproxy.wire.paths import NULL_PATH, Path
from smtproxy.wire.replies import Reply

IDLE = 5.0
"""Seconds that a connection waits for the next question."""
MOST_WAITING = 1000
"""Questions that wait for a connection; one more is not asked."""
REFUSALS = 4
"""Recipients refused on one connection, which then ends: Exchange hangs up on those with five errors
(MaxProtocolErrors), Postfix slows them down (smtpd_soft_error_limit = 10)."""


class CalloutError(Exception):
    """The server could not be asked, or did not say. The text says why, for people."""


@dataclass(slots=True)
class _Question:
    recipients: Sequence[Path]
    due: float
    asked: trio.Event = field(default_factory=trio.Event)
    """Set when it is over."""
    replies: list[Reply] = field(default_factory=list)
    trouble: str = "no connection was free in time"
    given_up: bool = False


class Callouts:
    """All connections for call-outs to one backend."""

    def __init__(self, pool: Pool, hostname: str, limits: Limits, journal: Journal, connections: int) -> None:
        """Keep at most so many connections; say EHLO as `hostname`. Nobody is asked before `run`."""
        self.pool = pool
        self._hostname = hostname
        self._limits = limits
        self._journal = journal
        self._most = connections
        self._lines = 0
        self._send, self._receive = trio.open_memory_channel[_Question](MOST_WAITING)
        self._nursery: trio.Nursery | None = None
        self._runs = trio.Event()

    async def run(self) -> None:
        """Ask what there is to be asked, for ever."""
        async with trio.open_nursery() as self._nursery:
            self._runs.set()
            await trio.sleep_forever()

    async def ask(self, recipients: Sequence[Path], due: float) -> list[Reply]:
        """Return the reply to RCPT for each of them, until `due` on trio's clock. Raises CalloutError."""
        question = _Question(recipients, due)
        try:
            with trio.move_on_at(question.due):
                await self._runs.wait()
                self._put(question)
                await question.asked.wait()
        finally:
            question.given_up = True
        if not question.replies:
            raise CalloutError(question.trouble)
        return question.replies

    def _put(self, question: _Question) -> None:
        idle = self._receive.statistics().tasks_waiting_receive
        try:
            self._send.send_nowait(question)
        except trio.WouldBlock:
            raise CalloutError("too many others wait for an answer") from None
        if not idle:
            self._begin_line()

    def _begin_line(self) -> None:
        if self._lines < self._most and self._nursery is not None:
            self._lines += 1
            self._nursery.start_soon(self._serve)

    async def _serve(self) -> None:
        """One connection: question after question, as long as there are any."""
        line = _Line(self.pool, self._hostname, self._limits)
        try:
            while (question := await self._next(line)) is not None:
                if not question.given_up:
                    await self._answer(line, question)
        finally:
            line.close()
            self._lines -= 1
        # Not where it was cancelled: the next one would be, too, and the next, for ever.
        if self._receive.statistics().current_buffer_used:
            # It came when this line had given up waiting and was not gone yet: nobody else would look for it.
            self._begin_line()

    async def _next(self, line: "_Line") -> _Question | None:
        with trio.move_on_after(IDLE) as idle:
            line.idle, line.since = idle, trio.current_time()
            try:
                return await self._receive.receive()
            finally:
                line.idle = None
        return None

    async def _answer(self, line: "_Line", question: _Question) -> None:
        question.trouble = "no answer in time"
        try:
            with trio.move_on_at(question.due):
                question.replies = await line.ask(question.recipients)
        except CalloutError as error:
            question.trouble = str(error)
        except OSError as error:
            question.trouble = f"the connection broke: {why_no_tls(error)}"
        except Exception as error:  # noqa: BLE001 - no question may end the worker, which serves mail
            question.trouble = "crashed"
            self._journal.record(Event.CRASH, {"where": "call-out", "error": error, "traceback": error.__traceback__})
        if not question.replies or line.refusals >= REFUSALS:
            line.close()
        question.asked.set()


class _Line:
    """One connection, as the pool knows it: a holder who has no session."""

    streaming = False
    good = False  # strangers make us ask, as a rule

    def __init__(self, pool: Pool, hostname: str, limits: Limits) -> None:
        self.idle: trio.CancelScope | None = None
        """What waits for the next question; None: one is being asked."""
        self.since = 0.0
        self.refusals = 0
        self._pool = pool
        self._side = BackendSide(pool, hostname, limits.connect_time)
        self._upstream: Upstream | None = None

    @property
    def recallable_since(self) -> float | None:
        return None if self.idle is None or self._upstream is None else self.since

    def recall(self) -> None:
        if self.idle is not None:
            self.idle.cancel()

    def close(self) -> None:
        """Say QUIT where that can be said, close the connection and give its place back."""
        upstream, self._upstream = self._upstream, None
        tidy = upstream is not None and upstream.ready and not upstream.broken and not upstream.owes
        self._side.end(events.CloseBackend(b"QUIT\r\n" if tidy else b""), spoke=False)
        self.refusals = 0

    async def ask(self, recipients: Sequence[Path]) -> list[Reply]:
        """Return the replies to RCPT. Raises CalloutError, OSError; then the connection is to be closed."""
        if self._side.spoke:
            self.close()  # it was ended meanwhile
        upstream = self._upstream or await self._open()
        link = self._side.link
        if link is None:
            raise CalloutError("closed")
        utf8 = any(path.utf8 for path in recipients)
        if utf8 and not upstream.capabilities.has("SMTPUTF8"):
            raise CalloutError("the address needs SMTPUTF8, which the server lacks")
        mail = compose_mail(NULL_PATH, (("SMTPUTF8", None),) if utf8 else ())
        commands = [
            (Purpose.MAIL, mail),
            *((Purpose.RCPT, compose_rcpt(path, ())) for path in recipients),
            (Purpose.RSET, b"RSET\r\n"),
        ]
        replies: list[Reply] = []
        groups = [commands] if upstream.capabilities.has("PIPELINING") else [[one] for one in commands]
        for group in groups:
            for purpose, _ in group:
                upstream.expect(purpose)
            await _write(link, b"".join(octets for _, octets in group))
            replies += await _replies(link, upstream)
            if replies[0].kind != 2:
                raise CalloutError(f"MAIL FROM:<> was answered {replies[0].code} {replies[0].text}")
        _, *answers, _ = replies
        self.refusals += sum(reply.kind == 5 for reply in answers)
        return answers

    async def _open(self) -> Upstream:
        """Reach a server, each of them once. Raises CalloutError."""
        tried: frozenset[str] = frozenset()
        why = ""
        while True:
            place = self._side.take(events.OpenBackend(tried, fresh=True), self)
            if isinstance(place, Waiter):
                waiter = place
                try:
                    await waiter.arrived.wait()
                except trio.Cancelled:
                    self._side.leave_line(waiter)
                    raise
                if waiter.place is None:
                    raise CalloutError("no connection was free")
                place = waiter.place
            elif isinstance(place, events.BackendFailed):
                raise CalloutError(why or "there is no server")
            opened, trouble = self._side.dial(place)
            upstream = self._upstream = opened.upstream
            if trouble is not None and not trouble.how:  # ours, and no fault of the server's
                raise CalloutError("no file descriptor is left")
            why = upstream.broken = await self._greet(upstream) if trouble is None else trouble.how
            if not why:
                return upstream
            reply = upstream.refusal
            text = "" if reply is None else f"{reply.code} {reply.text}"
            if upstream.securing and upstream.may_be_clear and not place.server.clear:
                self._side.end(events.CloseBackend(no_tls=text or why), spoke=False)
                continue
            tried |= {upstream.server}
            full = reply is not None and reply.code == 421
            self._side.end(events.CloseBackend(reason="full" if full else why, reply=text), spoke=False)
            why = f"{upstream.server}: {text or why}"

    async def _greet(self, upstream: Upstream) -> str:
        """Return what is wrong; empty: nothing is."""
        link = self._side.link
        if link is None:
            return "closed"

        def start_tls() -> None:
            failed = self._side.start_tls()
            if failed is not None:
                raise OSError(failed.why)

        try:
            await greet(link, upstream, start_tls)
        except OSError as error:
            return f"TLS: {why_no_tls(error)}" if upstream.securing else why_no_tls(error)
        return upstream.broken


async def _write(link: Link, octets: bytes) -> None:
    while octets:
        taken = link.write(octets)
        octets = octets[taken:]
        if octets:
            await link.writable()


async def _replies(link: Link, upstream: Upstream) -> list[Reply]:
    """Read the replies that are owed."""
    replies: list[Reply] = []
    while upstream.owes:
        await link.readable()
        octets = link.read(READ)
        if octets is None:
            continue
        if not octets:
            raise CalloutError("the server closed the connection")
        for got in upstream.receive(octets):
            if isinstance(got, Stray):
                raise CalloutError(f"the server spoke out of turn: {upstream.broken}")
            if got.reply.code == 421:  # RFC 5321 3.8: it closes the connection, whatever it was asked
                raise CalloutError(f"421 {got.reply.text}")
            replies.append(got.reply)
    return replies


def random_recipient(domain: str) -> Path:
    """Return an address that nobody has: who takes mail for it takes mail for anybody."""
    return Path(f"no-such-user-{secrets.token_hex(8)}", domain)
