"""Sockets: how they are opened, and what a look at one shows."""

import contextlib
import errno
import socket
from collections.abc import Iterator

import pytest

from smtproxy.network.sockets import (
    EXHAUSTED,
    GONE,
    HALF_CLOSED,
    SPOKE,
    Endpoint,
    bound,
    connected,
    listen,
    prepare,
    reset_when_closed,
    seen,
    start_connect,
)
from tests.network.stage import deserted, until

ANY_PORT = Endpoint("127.0.0.1", 0)


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection on loopback."""
    with listen(ANY_PORT) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        yield client, server


@pytest.mark.parametrize(
    ("host", "text"),
    [("192.0.2.1", "192.0.2.1:25"), ("2001:db8::1", "[2001:db8::1]:25"), ("mx.example", "mx.example:25")],
)
def test_endpoints_are_written_as_in_a_configuration(host: str, text: str) -> None:
    assert str(Endpoint(host, 25)) == text


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_listening(host: str) -> None:
    with listen(Endpoint(host, 0)) as sock:
        where = bound(sock)
        assert where.host == host
        assert where.port > 0
        assert not sock.getblocking()
        with socket.create_connection((where.host, where.port)):
            sock.accept()[0].close()


def test_a_listener_of_one_family_takes_no_clients_of_the_other() -> None:
    with listen(Endpoint("::1", 0)) as sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_a_port_that_was_just_in_use_can_be_bound_again() -> None:
    with listen(ANY_PORT) as sock:
        where = bound(sock)
        client = socket.create_connection((where.host, where.port))
        sock.accept()[0].close()  # The server's end closes first, and its address would be blocked (TIME_WAIT).
        client.close()
    listen(where).close()


def test_an_address_that_is_taken_is_an_error_and_nothing_stays_open() -> None:
    with listen(ANY_PORT) as sock, pytest.raises(OSError, match="Address already in use") as error:
        listen(bound(sock))
    assert error.value.errno == errno.EADDRINUSE


def test_every_connection_is_non_blocking_and_sends_at_once() -> None:
    with pair() as (_, server):
        prepare(server)
        assert not server.getblocking()
        assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_connecting() -> None:
    with listen(ANY_PORT) as listener:
        sock = start_connect(socket.AF_INET, listener.getsockname())
        with sock, listener.accept()[0]:
            assert not sock.getblocking()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert connected(sock)


async def test_a_refused_connection_shows_in_the_first_read() -> None:
    nowhere = deserted()
    try:
        sock = start_connect(socket.AF_INET, (nowhere.host, nowhere.port))
    except ConnectionRefusedError:
        return
    with sock:
        await until(lambda: bool(seen(sock, SPOKE)))
        assert not connected(sock)
        with pytest.raises(ConnectionRefusedError):
            sock.recv(1)


def test_what_cannot_be_connected_to_at_all_is_an_error() -> None:
    with pytest.raises(socket.gaierror):
        start_connect(socket.AF_INET6, ("127.0.0.1", 25))


def test_a_look_shows_what_is_there_and_takes_nothing() -> None:
    with pair() as (client, server):
        assert seen(server, SPOKE) == 0
        client.send(b"x")
        for _ in range(2):
            assert seen(server, SPOKE) & SPOKE
            assert not seen(server, GONE | HALF_CLOSED) & (GONE | HALF_CLOSED)
        assert server.recv(10) == b"x"


def test_half_an_end_is_not_the_end() -> None:
    with pair() as (client, server):
        client.shutdown(socket.SHUT_WR)
        assert seen(server, HALF_CLOSED) & HALF_CLOSED
        assert not seen(server, GONE) & GONE
        server.shutdown(socket.SHUT_WR)
        assert seen(server, GONE) & GONE


def test_a_reset_is_the_end() -> None:
    with pair() as (client, server):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert seen(server, GONE) & GONE


def test_what_is_our_own_shortage() -> None:
    assert {errno.EMFILE, errno.ENFILE} <= EXHAUSTED
    assert errno.ECONNREFUSED not in EXHAUSTED


def test_a_connection_that_is_reset_when_closed() -> None:
    with pair() as (client, server):
        reset_when_closed(server)
        server.close()
        reset_when_closed(server)  # nobody minds
        with pytest.raises(ConnectionResetError):
            client.recv(1)
