"""The way to a server's first command: what ends it, and how."""

import socket

import pytest
import trio

from smtproxy.network.greeting import greet
from smtproxy.network.link import Link
from smtproxy.session.settings import BackendTls
from smtproxy.session.upstream import Upstream

EHLO = b"EHLO mx.example.org\r\n"


class NoTlsError(OSError):
    """Instead of a handshake."""


async def greeted(*said: bytes, security: BackendTls = BackendTls.OFF) -> tuple[Upstream, bytes]:
    """Let a server greet, and then answer each command (nothing: by hanging up); -> the dialogue, and what it heard."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    upstream, heard = Upstream("server:25", "mx.example.org", security=security), b""

    def no_tls() -> None:
        raise NoTlsError

    async def serve() -> None:
        nonlocal heard
        for number, octets in enumerate(said):
            if number:
                await trio.lowlevel.wait_readable(theirs)
                heard += theirs.recv(4096)
            if octets:
                theirs.send(octets)
            else:
                theirs.shutdown(socket.SHUT_WR)

    link = Link(ours)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            await greet(link, upstream, no_tls)
    finally:
        link.close()
        theirs.close()
    return upstream, heard


async def test_a_greeting_in_pieces() -> None:
    upstream, heard = await greeted(b"220-hello\r\n220 there\r\n", b"250-mx\r\n250 PIPELINING\r\n")
    assert (upstream.ready, upstream.broken, heard) == (True, "", EHLO)
    assert upstream.capabilities.has("PIPELINING")


@pytest.mark.parametrize(
    ("said", "broken"),
    [
        ((b"",), "closed"),
        ((b"220 hello\r\n", b""), "closed"),
        ((b"554 no\r\n",), "greeting refused"),
        ((b"220 hello\r\n220 once more\r\n",), "talks unasked"),
        ((b"220 hello\r\n250",), "talks unasked"),
        ((b"HTTP/1.1 400 Bad Request\r\n",), "a line that is no reply"),
    ],
)  # fmt: skip
async def test_what_is_no_greeting(said: tuple[bytes, ...], broken: str) -> None:
    upstream, _ = await greeted(*said)
    assert (upstream.ready, upstream.broken) == (False, broken)


async def test_a_handshake_is_begun_where_it_is_wanted() -> None:
    with pytest.raises(BaseExceptionGroup) as failed:
        await greeted(b"220 hello\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"220 go\r\n", security=BackendTls.REQUIRE)
    assert failed.group_contains(NoTlsError)
