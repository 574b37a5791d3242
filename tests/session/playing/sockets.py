"""Plays a scene over real sockets on loopback: listener, session, sweeper, pool, and the sample server.

One trio loop whose clock jumps as soon as nothing is left to do: what takes minutes takes milliseconds, and nothing
sleeps. What the client must not hear shows in its next account of what it heard, and at the end.
"""

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

import trio
from trio.testing import MockClock

from smtproxy.network.driver import Service, Session
from smtproxy.network.listener import Listener
from smtproxy.network.pool import Pool
from smtproxy.network.sockets import Endpoint, bound, listen
from smtproxy.network.sweeper import sweep
from smtproxy.sample.record import BackendRecord
from smtproxy.sample.server import reset_on_close, serve
from smtproxy.session.memory import Memory
from smtproxy.session.records import Event
from tests.session.playing.checking import Commands, Ear, check_backend, check_log, replies_match
from tests.session.playing.memory import promised
from tests.session.playing.scene import Got, Hear, Leave, Say, Scene, Wait

_ANSWER = 1000.0
"""Seconds on the jumping clock within which each reply must come: more than any limit of a session."""
_IDLE = 0.005
"""Real seconds without any event after which the clock jumps: loopback needs microseconds."""
_LOOK = 0.1


@dataclass(slots=True)
class Pages:
    """A journal that remembers."""

    log: list[tuple[Event, Mapping[str, object]]] = field(default_factory=list)

    def record(self, event: Event, fields: Mapping[str, object]) -> None:
        """Write one line."""
        self.log.append((event, dict(fields)))


def play(scene: Scene) -> None:
    """Play it; what the client says leaves in one write."""
    trio.run(_play, scene, clock=MockClock(autojump_threshold=_IDLE))


async def _play(scene: Scene) -> None:
    async with trio.open_nursery() as nursery:
        record, pages = BackendRecord(), Pages()
        with listen(Endpoint("127.0.0.1", 0)) as sock:
            await _start(scene, nursery, sock, record, pages)
            await _converse(scene, sock, record, pages)
            nursery.cancel_scope.cancel()


async def _converse(scene: Scene, sock: socket.socket, record: BackendRecord, pages: Pages) -> None:
    """Play the steps, and check what came of them."""
    address = bound(sock)
    commands = Commands(record)
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        client = _Client(stream)
        await _steps(scene, client, commands)
        await client.end()
    await _settled(record, pages)
    assert client.ear.since() == [], "the client heard more than the scene tells"
    log = [line for line in pages.log if line[0] is not Event.BACKEND_UP]
    check_log(scene, log)
    check_backend(scene, record, commands, log)


async def _steps(scene: Scene, client: "_Client", commands: Commands) -> None:
    for number, step in enumerate(scene.steps, 1):
        where = f"step {number} of {scene.name}: {step}"
        match step:
            case Say():
                await client.say(step.octets)
            case Hear():
                await client.hear(len(step.replies))
                if step.closed:
                    await client.hear_the_end()
                heard = client.ear.since()
                assert replies_match(heard, step.replies), f"{where}\nheard: {heard}"
            case Got():
                got = await _got(commands, step)
                assert got == list(step.commands), f"{where}\ngot: {got}"
            case Wait():
                await trio.sleep(step.seconds)
            case Leave():
                await client.leave(step.how)


async def _start(scene: Scene, nursery: trio.Nursery, sock: socket.socket, record: BackendRecord, pages: Pages) -> None:
    """Start backend servers and the listener."""
    endpoints = []
    for _ in range(scene.servers):
        if scene.refusing:
            endpoints.append(_nobody_there())
        else:
            host, port = await nursery.start(serve, scene.profile, scene.script, record)
            endpoints.append(Endpoint(host, port))
    pool = Pool("backend", endpoints, 16, scene.settings.max_message_size, pages)
    for server in pool.servers:
        server.address = socket.AF_INET, (server.endpoint.host, server.endpoint.port)
    pool.offered = promised(scene)
    room = Memory(1 << 28)
    service = Service(scene.settings, scene.policy, pool, pages, room, Memory(scene.disk))
    sessions: set[Session] = set()
    nursery.start_soon(Listener(sock, service, sessions, 100).serve, nursery)
    nursery.start_soon(sweep, sessions, (pool,))


def _nobody_there() -> Endpoint:
    """An address on which nobody listens any more."""
    sock = listen(Endpoint("127.0.0.1", 0))
    address = bound(sock)
    sock.close()
    return address


async def _got(commands: Commands, step: Got) -> list[str]:
    """The commands of a connection; what the client was not answered for may take its time."""
    got: list[str] = []
    with trio.move_on_after(_ANSWER):
        while True:
            got += commands.since(step.connection)
            if len(got) >= len(step.commands):
                break
            await trio.sleep(_LOOK)
    return got


async def _settled(record: BackendRecord, pages: Pages) -> None:
    """Wait until the session is over on both sides."""
    with trio.fail_after(_ANSWER):
        while not (  # noqa: ASYNC110 - nothing in the product tells that it is idle
            any(event is Event.SESSION for event, _ in pages.log)
            and all(connection.ended for connection in record.connections)
        ):
            await trio.sleep(_LOOK)


class _Client:
    """The client's end."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.ear = Ear()
        self._stream = stream
        self._gone = False
        self._closed = False

    async def say(self, octets: bytes) -> None:
        with contextlib.suppress(trio.BrokenResourceError):  # hung up on: why, shows in what was heard
            await self._stream.send_all(octets)

    async def hear(self, replies: int) -> None:
        """Read until so many replies are there, or the end."""
        with trio.fail_after(_ANSWER):
            while self.ear.count < replies and await self._read():
                pass

    async def hear_the_end(self) -> None:
        with trio.fail_after(_ANSWER):
            while await self._read():
                pass

    async def _read(self) -> bool:
        if self._closed:
            return False
        try:
            octets = bytes(await self._stream.receive_some(65536))
        except trio.BrokenResourceError:
            octets = b""
        self.ear.octets += octets
        self._closed = not octets
        return not self._closed

    async def leave(self, how: str) -> None:
        if how == "shutdown":
            await self._stream.send_eof()
            return
        self._gone = True
        if how == "reset":
            reset_on_close(self._stream)
        await self._stream.aclose()

    async def end(self) -> None:
        """Say nothing more, and read what is still said."""
        if self._gone:
            return
        with contextlib.suppress(trio.BrokenResourceError):
            await self._stream.send_eof()
        await self.hear_the_end()
        await self._stream.aclose()
