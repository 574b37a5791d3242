"""A session's place and connection: whatever happens, the place is given back once, and nothing stays open."""

import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from smtproxy.network.backend import BackendSide
from smtproxy.network.pool import Place, Pool, Waiter
from smtproxy.network.sockets import Endpoint, bound, listen
from smtproxy.network.warm import WarmConnections
from smtproxy.session import events
from smtproxy.session.records import Event
from tests.fakes.journal import FakeJournal

CONNECT_TIME = 10.0


class Nobody:
    """A session that holds no idle place."""

    recallable_since = None
    good = False
    streaming = False

    def recall(self) -> None:
        """Nothing to give back."""


@dataclass(slots=True)
class Yard:
    """A server's listening socket, a pool with one place there, and a session's side."""

    listening: socket.socket
    pool: Pool
    journal: FakeJournal
    side: BackendSide
    peers: list[socket.socket] = field(default_factory=list)

    @property
    def open(self) -> int:
        """Places in use."""
        return self.pool.servers[0].open

    def place(self) -> Place:
        """Take the one place."""
        got = self.side.take(events.OpenBackend(frozenset()), Nobody())
        assert isinstance(got, Place)
        return got

    def dials(self) -> events.BackendOpened:
        """Connect without trouble."""
        opened, trouble = self.side.dial(self.place())
        assert trouble is None
        return opened

    async def accepts(self) -> socket.socket:
        """The server's end."""
        await trio.lowlevel.wait_readable(self.listening)
        peer, _ = self.listening.accept()
        self.peers.append(peer)
        return peer


@contextlib.asynccontextmanager
async def yard(*, warm: int = 0) -> AsyncIterator[Yard]:
    """Set it up; at the end nothing may be held."""
    with listen(Endpoint("127.0.0.1", 0)) as listening:
        journal = FakeJournal()
        pool = Pool("test", [bound(listening)], 1, 1 << 20, journal, WarmConnections(warm, 60.0))
        pool.servers[0].address = (socket.AF_INET, ("127.0.0.1", bound(listening).port))
        here = Yard(listening, pool, journal, BackendSide(pool, "mx.example.org", CONNECT_TIME))
        yield here
        here.side.drop()
        pool.warm.clear()
        assert here.open == 0
        for peer in here.peers:
            peer.close()


async def test_a_connection_is_made_read_and_closed() -> None:
    async with yard() as here:
        opened = here.dials()
        assert opened.upstream.server == str(bound(here.listening))
        assert here.side.read() is None
        peer = await here.accepts()
        peer.sendall(b"220 hi\r\n")
        assert here.side.link is not None
        await here.side.link.readable()
        assert here.side.spoke
        assert here.side.read() == events.BackendBytes(b"220 hi\r\n")
        here.side.end(events.CloseBackend(b"QUIT\r\n"), spoke=False)
        assert here.open == 0
        assert peer.recv(100) == b"QUIT\r\n"
        assert peer.recv(100) == b""


async def test_its_end_is_read_too() -> None:
    async with yard() as here:
        here.dials()
        (await here.accepts()).close()
        assert here.side.link is not None
        await here.side.link.readable()
        assert here.side.read() == events.BackendClosed("closed")


async def test_without_a_connection_there_is_nothing_to_hear() -> None:
    async with yard() as here:
        assert not here.side.spoke
        assert here.side.read() == events.BackendClosed("closed")


async def test_the_second_waits_and_may_leave_the_line() -> None:
    async with yard() as here:
        here.dials()
        other = BackendSide(here.pool, "mx.example.org", CONNECT_TIME)
        waiter = other.take(events.OpenBackend(frozenset()), Nobody())
        assert isinstance(waiter, Waiter)
        other.leave_line(waiter)
        assert here.pool.waiting == 0


async def test_a_name_without_address_is_trouble_and_holds_its_place_until_it_is_closed() -> None:
    async with yard() as here:
        here.pool.servers[0].address = None
        _, trouble = here.side.dial(here.place())
        assert trouble == events.BackendClosed("name not resolved")
        assert here.open == 1
        here.side.end(events.CloseBackend(reason="unreachable"), spoke=False)
        assert here.open == 0
        assert here.journal.one(Event.BACKEND_DOWN)["reason"] == "unreachable"


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENETUNREACH, "Network is unreachable"), (errno.EMFILE, "")], ids=["theirs", "ours"]
)
async def test_our_own_exhaustion_is_no_reason_against_the_server(
    monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def fails(_family: int, _address: tuple[str, int]) -> socket.socket:
        raise OSError(number, "Network is unreachable")

    monkeypatch.setattr("smtproxy.network.backend.start_connect", fails)
    async with yard() as here:
        assert here.side.dial(here.place())[1] == events.BackendClosed(reason)


async def test_what_was_made_in_time_does_not_connect_too_long(mock_clock: MockClock) -> None:
    async with yard() as here:
        here.dials()
        await here.accepts()
        mock_clock.jump(CONNECT_TIME)
        assert not here.side.connects_too_long(trio.current_time())


async def test_what_is_not_made_in_time_is_told_once(monkeypatch: pytest.MonkeyPatch, mock_clock: MockClock) -> None:
    monkeypatch.setattr("smtproxy.network.backend.connected", lambda _sock: False)
    async with yard() as here:
        here.dials()
        mock_clock.jump(CONNECT_TIME - 1)
        assert not here.side.connects_too_long(trio.current_time())
        mock_clock.jump(1)
        assert here.side.connects_too_long(trio.current_time())
        assert not here.side.connects_too_long(trio.current_time())


@pytest.mark.parametrize("spoke", [False, True])
async def test_a_connection_is_kept_warm_place_and_all_unless_it_spoke(spoke: bool) -> None:
    async with yard(warm=1) as here:
        upstream = here.dials().upstream
        peer = await here.accepts()
        here.side.end(events.CloseBackend(b"QUIT\r\n", warm=upstream), spoke=spoke)
        assert here.side.link is None
        assert (len(here.pool.warm), here.open) == ((0, 0) if spoke else (1, 1))
        if spoke:
            assert peer.recv(100) == b"QUIT\r\n"
        else:
            assert here.dials().upstream is upstream
            assert here.side.link is not None
