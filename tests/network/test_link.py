"""Links: octets in and out without waiting, and the one task that waits on each."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from smtproxy.network.link import Link
from smtproxy.network.reactor import ENDED, READABLE, WRITABLE
from smtproxy.network.tls import Version, read_certificate, server_context
from tests.fakes.certificates import NAME, issue, trusting
from tests.network.stage import guarded, until

MEGABYTE = bytes(1 << 20)


@contextlib.contextmanager
def linked() -> Iterator[tuple[Link, socket.socket]]:
    """A link, and its peer's end."""
    ours, peer = socket.socketpair()
    for one in (ours, peer):
        one.setblocking(False)
    link = Link(ours)
    with peer:
        try:
            yield link, peer
        finally:
            link.close()


def stuff(link: Link) -> int:
    """Write until the kernel takes no more; -> how much it took."""
    total = 0
    while taken := link.write(MEGABYTE):
        total += taken
    return total


async def test_reading() -> None:
    with linked() as (link, peer):
        assert link.read(100) is None
        peer.send(b"octets")
        assert link.read(4) == b"octe"
        assert link.read(100) == b"ts"
        assert link.read(100) is None
        peer.close()
        assert link.read(100) == b""
        assert link.read(100) == b""


async def test_reading_from_a_peer_that_reset() -> None:
    with linked() as (link, peer):
        link.write(b"unread")
        peer.close()  # With octets unread: a reset.
        with pytest.raises(ConnectionResetError):
            link.read(100)


async def test_writing() -> None:
    with linked() as (link, peer):
        assert link.write(b"octets") == 6
        assert peer.recv(100) == b"octets"
        assert stuff(link) > 0
        assert link.write(b"more") == 0
        assert not link.can_write


async def test_writing_to_a_peer_that_is_gone() -> None:
    with linked() as (link, peer):
        peer.close()
        with pytest.raises(BrokenPipeError):
            link.write(b"octets")


async def test_a_task_waits_until_there_is_something_to_read() -> None:
    with linked() as (link, peer):
        got: list[bytes | None] = []

        async def reads() -> None:
            for _ in range(3):
                await link.readable()
                got.append(link.read(100))

        async with guarded() as nursery:
            await wait_all_tasks_blocked()  # The first edge of a new link is that it can be written to.
            nursery.start_soon(reads)
            for octets in (b"one", b"two"):
                await wait_all_tasks_blocked()
                peer.send(octets)
                await until(lambda octets=octets: got[-1:] == [octets])  # type: ignore[misc]
            await wait_all_tasks_blocked()
            peer.close()
            await until(lambda: len(got) == 3)
        assert got == [b"one", b"two", b""]


async def test_nothing_is_lost_between_a_read_and_the_wait_behind_it() -> None:
    """Octets that come when a read has emptied the socket make a new edge, whether or not somebody waits already."""
    with linked() as (link, peer):
        async with guarded():
            for _ in range(200):
                peer.send(b"x")
                await link.readable()
                while link.read(1) is not None:
                    pass


async def test_a_read_of_all_that_was_asked_for_may_have_left_something() -> None:
    with linked() as (link, peer):
        async with guarded():
            peer.send(b"1234567")
            await until(lambda: link.can_read)
            assert link.read(3) == b"123"
            await link.readable()
            assert link.read(3) == b"456"
            await link.readable()
            assert link.read(3) == b"7"


async def test_an_end_behind_octets_is_not_missed() -> None:
    with linked() as (link, peer):
        async with guarded():
            peer.send(b"last words")
            peer.close()
            await link.readable()
            await until(lambda: link.ended)
            assert link.read(100) == b"last words"
            await link.readable()
            assert link.read(100) == b""


async def test_a_task_waits_until_octets_are_taken() -> None:
    with linked() as (link, peer):
        async with guarded() as nursery:
            stuff(link)
            went_on = trio.Event()

            async def writes() -> None:
                await link.writable()
                assert link.write(b"more") == 4
                went_on.set()

            nursery.start_soon(writes)
            await wait_all_tasks_blocked(0.01)
            assert not went_on.is_set()
            with contextlib.suppress(BlockingIOError):
                while peer.recv(1 << 20):
                    pass
            await went_on.wait()


async def test_waking_without_an_edge() -> None:
    with linked() as (link, _):
        woken: list[str] = []

        async def waits() -> None:
            await link.readable()
            woken.append("readable")
            stuff(link)
            await link.writable()
            woken.append("writable")

        async with guarded() as nursery:
            nursery.start_soon(waits)
            await wait_all_tasks_blocked(0.01)
            assert woken == []
            link.wake()
            await wait_all_tasks_blocked(0.01)
            assert woken == ["readable"]
            link.wake()
            await wait_all_tasks_blocked(0.01)
            assert woken == ["readable", "writable"]
            link.wake()  # Nobody waits: nothing happens.


async def test_edges_of_the_other_direction_wake_nobody() -> None:
    with linked() as (link, _):
        woken = False

        async def waits() -> None:
            nonlocal woken
            await link.readable()
            woken = True

        async with guarded() as nursery:
            nursery.start_soon(waits)
            await wait_all_tasks_blocked(0.01)
            link.notice(WRITABLE & ~READABLE)
            await wait_all_tasks_blocked(0.01)
            assert not woken
            link.notice(ENDED)
            await wait_all_tasks_blocked(0.01)
            assert woken


async def test_cancelling_a_wait_leaves_the_link_as_it_was() -> None:
    with linked() as (link, peer):
        async with guarded():
            with trio.CancelScope() as scope:
                scope.cancel()
                await link.readable()
            assert scope.cancelled_caught
            peer.send(b"octets")
            await link.readable()
            assert link.read(100) == b"octets"


async def test_who_is_ready_passes_a_checkpoint_all_the_same() -> None:
    with linked() as (link, _):
        link.can_read = link.can_write = True
        with trio.testing.assert_checkpoints():
            await link.readable()
        with trio.testing.assert_checkpoints():
            await link.writable()


async def test_closing_wakes_who_waits() -> None:
    with linked() as (link, peer):
        woken = trio.Event()

        async def waits() -> None:
            await link.readable()
            woken.set()

        async with guarded() as nursery:
            nursery.start_soon(waits)
            await wait_all_tasks_blocked(0.01)
            link.close()
            await woken.wait()
            link.close()
            assert peer.recv(10) == b""


# TLS


class Peer:
    """The client's end of a TLS connection on a plain socket: what it says and hears is in memory until it moves."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting().wrap_bio(self._in, self._out, server_hostname=NAME)

    def move(self) -> None:
        """Move octets between OpenSSL and the socket."""
        self.sock.setblocking(False)
        if octets := self._out.read():
            self.sock.sendall(octets)
        with contextlib.suppress(BlockingIOError):
            while octets := self.sock.recv(65536):
                self._in.write(octets)
            self._in.write_eof()

    def shake_hands(self) -> None:
        """Go one step on."""
        self.move()
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.move()

    def say(self, octets: bytes) -> None:
        """Write octets."""
        self.tls.write(octets)
        self.move()

    def hear(self) -> bytes:
        """Read what is there."""
        self.move()
        heard = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            while octets := self.tls.read(65536):
                heard += octets
        return heard


@contextlib.contextmanager
def secured(tmp_path: Path) -> Iterator[tuple[Link, Peer]]:
    """A link under TLS, and its peer, their handshake finished."""
    context = server_context([read_certificate(*issue(tmp_path))], Version.TLS_1_2)
    with linked() as (link, sock):
        peer = Peer(sock)
        link.start_tls(context)
        assert not link.shake_hands()
        while True:
            peer.shake_hands()
            if link.shake_hands():
                break
        yield link, peer


async def test_octets_under_tls(tmp_path: Path) -> None:
    with secured(tmp_path) as (link, peer):
        assert not link.handshaking
        assert link.tls is link.sock
        assert link.read(100) is None
        peer.say(b"octets")
        assert link.read(100) == b"octets"
        assert link.write(b"back") == 4
        assert peer.hear() == b"back"


async def test_octets_inside_openssl_are_read_before_anybody_waits(tmp_path: Path) -> None:
    with secured(tmp_path) as (link, peer):
        peer.say(b"one record")
        assert link.read(3) == b"one"
        assert (link.has_more, link.pending) == (True, len(" record"))
        assert link.can_read
        with trio.fail_after(1):
            await link.readable()
        assert link.read(100) == b" record"
        assert not link.has_more


async def test_a_write_goes_on_where_it_stopped_and_nowhere_else(tmp_path: Path) -> None:
    """OpenSSL has encrypted the record: another one of the same length would leave in its place, without any error."""
    with secured(tmp_path) as (link, peer):
        octets = bytes(range(256)) * 4096
        left = octets[link.write(octets) :]
        assert left
        for other in (b"QUIT\r\n", bytes(len(left))):
            with pytest.raises(BrokenPipeError):
                link.write(other)
        heard = peer.hear()
        while left:
            with trio.fail_after(1):
                await link.writable()
            left = left[link.write(left) :]
            heard += peer.hear()
        assert heard == octets
        assert link.write(b"QUIT\r\n") == 6
        assert peer.hear() == b"QUIT\r\n"


async def test_last_words_under_tls(tmp_path: Path) -> None:
    with secured(tmp_path) as (link, peer):
        link.say_last()
        assert peer.hear() == b""
        assert peer.tls.read(10) == b""  # close_notify, not a mere end of file, which would be an error


async def test_last_words_in_clear_text() -> None:
    with linked() as (link, peer):
        link.say_last()
        assert peer.recv(10) == b""


async def test_nothing_is_said_in_the_middle_of_a_handshake(tmp_path: Path) -> None:
    context = server_context([read_certificate(*issue(tmp_path))], Version.TLS_1_2)
    with linked() as (link, peer):
        link.start_tls(context)
        assert link.handshaking
        with pytest.raises(BrokenPipeError):
            link.write(b"421 clear text\r\n")
        assert not link.has_more
        link.say_last()
        assert peer.recv(10) == b""


async def test_clear_text_is_no_handshake(tmp_path: Path) -> None:
    context = server_context([read_certificate(*issue(tmp_path))], Version.TLS_1_2)
    with linked() as (link, peer):
        peer.send(b"EHLO client.example\r\n")
        link.start_tls(context)
        with pytest.raises(OSError, match=r"(?i)wrong version|http request"):
            link.shake_hands()


async def test_a_handshake_waits_for_its_peer(tmp_path: Path) -> None:
    context = server_context([read_certificate(*issue(tmp_path))], Version.TLS_1_2)
    with linked() as (link, sock):
        peer = Peer(sock)
        link.start_tls(context)
        assert not link.shake_hands()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.progress)
            await wait_all_tasks_blocked()
            peer.shake_hands()
        assert not link.shake_hands()


async def test_there_is_no_handshake_without_tls() -> None:
    with linked() as (link, _), pytest.raises(OSError, match="no TLS"):
        link.shake_hands()


async def test_who_speaks_is_noticed_without_reading() -> None:
    with linked() as (link, peer):
        seen = [link.spoke]
        peer.send(b"x")
        seen.append(link.spoke)
        link.handshaking = True
        seen.append(link.spoke)
    assert seen == [False, True, False]
