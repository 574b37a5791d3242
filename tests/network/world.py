"""The network floor with everything real but time: listener, sessions, sweeper, pool and the sample server on loopback.

One trio loop whose clock jumps as soon as nothing is left to do, so that what takes minutes takes milliseconds and no
test sleeps. Clients talk as `tests.session.enumeration.talk` tells them; a test says where one of them leaves, and how.
"""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import trio
from trio.testing import MockClock

from smtproxy.network.driver import Service, Session
from smtproxy.network.listener import Listener
from smtproxy.network.pool import Pool
from smtproxy.network.sockets import Endpoint, bound, listen
from smtproxy.network.sweeper import sweep
from smtproxy.network.warm import WarmConnections
from smtproxy.sample.profiles import EXCHANGE
from smtproxy.sample.record import BackendRecord, Delivery
from smtproxy.sample.script import Script
from smtproxy.sample.server import reset_on_close, serve
from smtproxy.session.memory import Memory
from smtproxy.session.records import Event
from smtproxy.session.settings import RelaySettings
from tests.fakes.heard import Heard, read_replies
from tests.fakes.laboratory import promised
from tests.fakes.policies import default_policy
from tests.session.enumeration.talk import Command, Letter, talk

ROOM = 1 << 28
Exchange: TypeAlias = tuple[Command, Heard | None]
"""A command and what was heard to it."""
_IDLE = 0.005
"""Real seconds without any event after which the clock jumps: loopback needs microseconds."""
_PATIENCE = 2_000.0
"""Seconds on the jumping clock in which each reply must come: more than any limit of a session."""


@dataclass(slots=True)
class Pages:
    """A journal that remembers."""

    lines: list[tuple[Event, Mapping[str, object]]] = field(default_factory=list)

    def record(self, event: Event, fields: Mapping[str, object]) -> None:
        """Write one line."""
        self.lines.append((event, dict(fields)))

    def of(self, event: Event) -> list[Mapping[str, object]]:
        """Return the lines of one kind."""
        return [fields for kind, fields in self.lines if kind is event]


@dataclass(slots=True)
class World:
    """A running proxy and its backend."""

    address: Endpoint
    record: BackendRecord
    pages: Pages
    service: Service
    sessions: set[Session]

    def taken(self, letter: Letter) -> list[Delivery]:
        """Return what the backend took of a letter."""
        return self.record.containing(f"X-Letter: {letter.number}\r\n".encode())


@contextlib.asynccontextmanager
async def world(
    settings: RelaySettings, script: Script, *, places: int = 16, warm: int = 0, disk: int = ROOM
) -> AsyncIterator[World]:
    """Start a proxy for domain example.org before one backend server; stop both at the end."""
    record, pages, sessions = BackendRecord(), Pages(), set[Session]()
    async with trio.open_nursery() as nursery:
        host, port = await nursery.start(serve, EXCHANGE, script, record)
        pool = Pool(
            "backend", [Endpoint(host, port)], places, settings.max_message_size, pages, WarmConnections(warm, 5.0)
        )
        pool.servers[0].address = socket.AF_INET, (host, port)
        pool.offered = promised(EXCHANGE, settings)
        service = Service(settings, default_policy(settings), pool, pages, Memory(ROOM), Memory(disk))
        with listen(Endpoint("127.0.0.1", 0)) as sock:
            nursery.start_soon(Listener(sock, service, sessions, 100).serve, nursery)
            nursery.start_soon(sweep, sessions, (pool,))
            yield World(bound(sock), record, pages, service, sessions)
        pool.warm.clear()
        nursery.cancel_scope.cancel()


class Client:
    """A client on a socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        """Talk over this stream."""
        self.stream = stream
        self.ended = False
        self._octets = b""

    async def say(self, octets: bytes) -> None:
        """Send octets; a proxy that hung up is met by the next `hear`."""
        with contextlib.suppress(trio.BrokenResourceError):
            await self.stream.send_all(octets)

    async def hear(self, number: int) -> list[Heard]:
        """Return so many replies, fewer if the connection ends before."""
        with trio.fail_after(_PATIENCE):
            while True:
                replies, rest = read_replies(self._octets)
                if len(replies) >= number or self.ended:
                    self._octets = b"".join(one.octets for one in replies[number:]) + rest
                    return replies[:number]
                await self._read()

    async def _read(self) -> None:
        try:
            octets = await self.stream.receive_some()
        except trio.BrokenResourceError:
            octets = b""
        self._octets += octets
        self.ended = not octets

    async def hear_the_end(self) -> list[Heard]:
        """Read until the proxy closes; return what else it said."""
        while not self.ended:
            with trio.fail_after(_PATIENCE):
                await self._read()
        return read_replies(self._octets)[0]

    async def leave(self, how: str) -> None:
        """Go: "closed" (FIN in both directions) or "reset"."""
        if how == "reset":
            reset_on_close(self.stream)
        await trio.aclose_forcefully(self.stream)


@contextlib.asynccontextmanager
async def connected(place: World) -> AsyncIterator[Client]:
    """Connect a client and read its banner; it is gone at the end, whatever happens."""
    client = Client(await trio.open_tcp_stream(place.address.host, place.address.port))
    try:
        await client.hear(1)
        yield client
    finally:
        await trio.aclose_forcefully(client.stream)


async def send(place: World, *letters: Letter, pause: float = 0.0) -> list[Exchange]:
    """Send letters in a session of their own."""
    async with connected(place) as client:
        return await converse(client, letters, pause=pause)


async def converse(client: Client, letters: Sequence[Letter], *, pause: float = 0.0) -> list[Exchange]:
    """Send letters as an honest client that pipelines, QUIT at last; return each command with its reply.

    `pause`: seconds it waits behind each piece of a body.
    """
    exchanges: list[Exchange] = []
    talking = talk(letters, pipelined=True)
    segment = next(talking)
    while not client.ended:
        await client.say(segment.octets)
        replies = await client.hear(len(segment.commands))
        missing = [None] * (len(segment.commands) - len(replies))
        exchanges.extend(zip(segment.commands, [*replies, *missing], strict=True))
        if pause and not segment.commands:
            await trio.sleep(pause)
        try:
            segment = talking.send(replies)
        except StopIteration:
            break
    await client.hear_the_end()
    return exchanges


async def settled(place: World) -> None:
    """Wait until no session is left."""
    await until(lambda: not place.sessions)


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is true, looking once a second."""
    with trio.fail_after(_PATIENCE):
        while not true():  # noqa: ASYNC110 - the product has no event for a test, and the clock jumps
            await trio.sleep(1.0)


def clock() -> MockClock:
    """Return a clock that jumps where nothing happens."""
    return MockClock(autojump_threshold=_IDLE)
