"""Sessions between real sockets on loopback, on a clock that only the test moves: nothing happens by itself.

There is no listener and no sweeper here: a test connects a client, says when somebody looks (`sweep`) and how much time
has passed (`pass_time`). Behind them stand sample servers, one for each script. At the end everything must be given
back. A test that waits in vain fails after some real seconds; none sleeps.
"""

import contextlib
import itertools
import math
import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from smtproxy.network.driver import Service, Session
from smtproxy.network.pool import Pool, Server
from smtproxy.network.sockets import Endpoint, bound, listen, prepare
from smtproxy.network.tls import CLEAR_TEXT, ServerTls
from smtproxy.network.warm import WarmConnections
from smtproxy.policy.judge import Policy
from smtproxy.policy.overload import Overload
from smtproxy.policy.quotas import Quotas
from smtproxy.sample.profile import Profile
from smtproxy.sample.profiles import EXCHANGE
from smtproxy.sample.record import BackendRecord
from smtproxy.sample.script import Script
from smtproxy.sample.server import serve
from smtproxy.session.limits import Limits
from smtproxy.session.memory import Memory
from smtproxy.session.networks import Network
from smtproxy.session.records import Event
from smtproxy.session.settings import RelaySettings
from smtproxy.session.tarpit import Tarpit, TarpitSettings
from tests.fakes.heard import Heard
from tests.fakes.journal import FakeJournal
from tests.fakes.laboratory import promised
from tests.fakes.policies import default_policy
from tests.network.world import Client

ROOM = 1 << 28
"""Octets of memory and of disk."""
HELLO = b"EHLO client.example\r\n"
ENVELOPE = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@example.org>\r\n"
LETTER = b"Subject: test\r\nMessage-ID: <id-1@client.example>\r\n\r\nHello\r\n"
SETTINGS = RelaySettings("mx.example.org", limits=Limits(junk_commands=10_000))
"""A client may say as much in vain as fills the kernel's buffers."""
PATIENT = replace(EXCHANGE, idle_timeout=math.inf)
"""A server that waits for us as long as it takes: no deadline here but the proxy's own."""
_DESERTED = itertools.cycle(range(1, 7))
"""Ports below all services of today: tcpmux and its unassigned neighbours."""
_PATIENCE = 20.0
"""Real seconds after which whoever waits waits in vain."""


@dataclass(slots=True)
class Guest:
    """A client on the stage, and the session that serves it."""

    client: Client
    session: Session
    ended: bool = False
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Of the session's task."""

    async def codes(self, octets: bytes, number: int = 1) -> list[int]:
        """Say this; -> the codes of so many replies."""
        await self.client.say(octets)
        return [reply.code for reply in await self.client.hear(number)]

    async def says_hello(self) -> None:
        """Read the banner and say EHLO."""
        assert [reply.code for reply in await self.client.hear(1)] == [220]
        assert await self.codes(HELLO) == [250]

    async def begins(self) -> None:
        """Come as far as the first octet of a body."""
        await self.says_hello()
        assert await self.codes(ENVELOPE + b"DATA\r\n", 3) == [250, 250, 354]

    async def sends(self, letter: bytes = LETTER, envelope: bytes = ENVELOPE) -> Heard:
        """Send one mail behind the hello; -> what was heard to its final dot."""
        assert (await self.codes(envelope + b"DATA\r\n", envelope.count(b"\r\n") + 1))[-1] == 354
        await self.client.say(letter + b".\r\n")
        (reply,) = await self.client.hear(1)
        return reply

    async def quits(self) -> None:
        """Say QUIT, and read the goodbye and the end."""
        assert await self.codes(b"QUIT\r\n") == [221]
        assert await self.client.hear_the_end() == []

    @property
    def peer(self) -> socket.socket:
        """The session's own socket towards this client."""
        return self.session._client.sock

    @property
    def backend(self) -> socket.socket:
        """The session's own socket towards the backend."""
        assert self.session._backend.link is not None
        return self.session._backend.link.sock


@dataclass(slots=True)
class Stage:
    """The network floor before its servers."""

    service: Service
    journal: FakeJournal
    records: list[BackendRecord]
    """What each server saw."""
    _socket: socket.socket
    _nursery: trio.Nursery
    guests: list[Guest] = field(default_factory=list)

    @property
    def pool(self) -> Pool:
        """The pool of all sessions."""
        return self.service.pool

    @property
    def server(self) -> Server:
        """The first server, as the pool knows it."""
        return self.pool.servers[0]

    @property
    def delayed(self) -> int:
        """How many sessions are in the tarpit."""
        assert self.service.tarpit is not None
        return len(self.service.tarpit)

    @property
    def record(self) -> BackendRecord:
        """What the first server saw."""
        return self.records[0]

    async def enter(self) -> Guest:
        """Connect a client; its session runs from now on."""
        address = bound(self._socket)
        stream = await trio.open_tcp_stream(address.host, address.port)
        await trio.lowlevel.wait_readable(self._socket)
        sock, source = self._socket.accept()
        prepare(sock)
        guest = Guest(Client(stream), Session(sock, source, self.service))
        self.guests.append(guest)
        self._nursery.start_soon(self._run, guest)
        return guest

    async def _run(self, guest: Guest) -> None:
        with guest.scope:
            await guest.session.run()
        guest.ended = True

    async def mail(self, letter: bytes = LETTER) -> Heard:
        """Send a mail in a session of its own; -> the reply to its final dot."""
        guest = await self.enter()
        await guest.says_hello()
        reply = await guest.sends(letter)
        await guest.quits()
        await self.over(guest)
        return reply

    def sweep(self) -> None:
        """Look after all sessions, as the sweeper does once a second."""
        for guest in self.guests:
            if not guest.ended:
                guest.session.sweep(trio.current_time())

    async def pass_time(self, seconds: float) -> None:
        """Let everybody finish, time pass, and everybody do what is due then; nobody sweeps."""
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        await quiet()
        clock.jump(seconds)
        await quiet()

    async def swept(self, true: Callable[[], bool]) -> None:
        """Sweep until something is true, on a clock that stands still."""

        def swept() -> bool:
            self.sweep()
            return true()

        await until(swept)

    async def over(self, *guests: Guest) -> None:
        """Wait for the end of these sessions."""
        await until(lambda: all(guest.ended for guest in guests))

    def outcomes(self) -> list[object]:
        """Return the outcome of each transaction."""
        return [line["outcome"] for line in self.journal.of(Event.MESSAGE)]

    def endings(self) -> list[object]:
        """Return how each session ended."""
        return [line["ended"] for line in self.journal.of(Event.SESSION)]


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is true, looking whenever nobody has anything to do."""
    end = time.monotonic() + _PATIENCE
    while not true():
        assert time.monotonic() < end, "waited in vain"
        await wait_all_tasks_blocked(0.001)


async def quiet() -> None:
    """Wait until nobody has anything to do, octets on their way through the kernel included."""
    await wait_all_tasks_blocked(0.01)


@contextlib.asynccontextmanager
async def guarded() -> AsyncIterator[trio.Nursery]:
    """A nursery that fails after some real seconds, whatever its clock says, and ends with its block."""
    alarm = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def ring() -> None:
        with contextlib.suppress(trio.RunFinishedError):
            token.run_sync_soon(alarm.set)

    async def watch() -> None:
        await alarm.wait()
        raise AssertionError("waited in vain")

    timer = threading.Timer(_PATIENCE, ring)
    timer.daemon = True
    timer.start()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            yield nursery
            nursery.cancel_scope.cancel()
    finally:
        timer.cancel()


@contextlib.asynccontextmanager
async def stage(
    *servers: Script | Endpoint,
    settings: RelaySettings = SETTINGS,
    profile: Profile = PATIENT,
    policy: Policy | None = None,
    journal: FakeJournal | None = None,
    places: int = 16,
    warm: int = 0,
    disk: int = ROOM,
    tls: ssl.SSLContext | None = None,
    server_tls: ServerTls = CLEAR_TEXT,
    served_tls: ssl.SSLContext | None = None,
    balancers: tuple[Network, ...] = (),
    quotas: Quotas | None = None,
    overload: Overload | None = None,
    tarpit: TarpitSettings = TarpitSettings(),  # noqa: B008 - it is frozen
) -> AsyncIterator[Stage]:
    """Set the stage before one server for each script, or who listens (or not) at an address; by default one that plays
    by the rules. At the end nobody may hold anything any more. `server_tls`: how the proxy speaks to them;
    `served_tls`: how they speak.
    """
    servers = servers or (Script(),)
    journal = FakeJournal() if journal is None else journal
    records = [BackendRecord() for _ in servers]
    async with guarded() as nursery:
        endpoints: list[Endpoint] = []
        for server, record in zip(servers, records, strict=True):
            if isinstance(server, Script):
                host, port = await nursery.start(partial(serve, profile, server, record, tls=served_tls))
                endpoints.append(Endpoint(host, port))
            else:
                endpoints.append(server)
        kept = WarmConnections(warm, 5.0)
        pool = Pool("backend", endpoints, places, settings.max_message_size, journal, kept, server_tls)
        for one in pool.servers:
            one.address = socket.AF_INET, (one.endpoint.host, one.endpoint.port)
        pool.offered = promised(profile, settings)
        judges = policy or default_policy(settings)
        delayed = Tarpit(tarpit)
        service = Service(
            settings,
            judges,
            pool,
            journal,
            Memory(ROOM),
            Memory(disk),
            tls=tls,
            quotas=quotas,
            tarpit=delayed,
            overload=overload,
            balancers=balancers,
        )
        with listen(Endpoint("127.0.0.1", 0)) as sock:
            here = Stage(service, journal, records, sock, nursery)
            try:
                yield here
            finally:
                for guest in here.guests:
                    guest.client.stream.socket.close()
            await here.swept(lambda: all(guest.ended for guest in here.guests))
        pool.warm.clear()
        assert [one.open for one in pool.servers] == [0] * len(endpoints)
        assert (pool.waiting, service.memory.left, service.disk.left, len(delayed)) == (0, ROOM, disk, 0)


def deserted() -> Endpoint:
    """Return an address where nobody listens.

    Not a port that was free a moment ago: a connection to one from the kernel's own range can reach itself.
    """
    return Endpoint("127.0.0.1", next(_DESERTED))


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Let this process open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
