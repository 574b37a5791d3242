"""Headers of balancers: what is believed, what is not, and that nothing behind one is ever taken."""

import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from smtproxy.network.link import Link
from smtproxy.network.proxy_protocol import HeaderError, client_of, extent, introduced
from smtproxy.network.sockets import prepare
from smtproxy.session.limits import Limits

LIMITS = Limits()
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = struct.pack("!4s4sHH", IPv4Address("192.0.2.9").packed, IPv4Address("198.51.100.1").packed, 4711, 25)
V6 = struct.pack("!16s16sHH", IPv6Address("2001:db8::9").packed, IPv6Address("2001:db8::1").packed, 4711, 25)
MAPPED = struct.pack("!16s16sHH", IPv6Address("::ffff:192.0.2.9").packed, IPv6Address("2001:db8::1").packed, 4711, 25)
LINE = b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\r\n"


def second(kind: int, block: bytes, *, command: int = 0x21, length: int | None = None) -> bytes:
    """A header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, kind, len(block) if length is None else length) + block


GOOD = {
    "line, IPv4": (LINE, ("192.0.2.9", 4711)),
    "line, IPv6": (b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 25\r\n", ("2001:db8::9", 4711)),
    "line, IPv4 in IPv6": (b"PROXY TCP6 ::ffff:192.0.2.9 ::1 1 25\r\n", ("192.0.2.9", 1)),
    "line, a zone": (b"PROXY TCP6 fe80::9%eth0 ::1 1 25\r\n", ("fe80::9", 1)),
    "line, unknown": (b"PROXY UNKNOWN\r\n", None),
    "line, unknown with whatever": (b"PROXY UNKNOWN ffff::1 x 65536 what\r\n", None),
    "line, the longest": (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", None),
    "IPv4": (second(0x11, V4), ("192.0.2.9", 4711)),
    "IPv6": (second(0x21, V6), ("2001:db8::9", 4711)),
    "IPv4 in IPv6": (second(0x21, MAPPED), ("192.0.2.9", 4711)),
    "with more behind the addresses": (second(0x11, V4 + b"\x04\x00\x02xx\xe0\x00\x01y"), ("192.0.2.9", 4711)),
    "with more that is cut short": (second(0x11, V4 + b"\x04\xff\xffxx"), ("192.0.2.9", 4711)),
    "unspecified": (second(0x00, b""), None),
    "local": (second(0x00, b"", command=0x20), None),
    "local with addresses": (second(0x11, V4, command=0x20), None),
    "local of an unknown family": (second(0xF7, b"abc", command=0x20), None),
}
BAD = {
    "nothing of the kind": (b"EHLO client.example\r\n", "missing"),
    "TLS": (b"\x16\x03\x01\x02\x00", "missing"),
    "a proxy of another protocol": (b"PROXIED\r\n", "missing"),
    "lower case": (b"proxy TCP4 192.0.2.9 198.51.100.1 4711 25\r\n", "missing"),
    "signature and a half": (SIGNATURE[:-1] + b"x", "missing"),
    "a line without CR": (LINE.replace(b"\r", b""), "malformed"),
    "an address that is none": (LINE.replace(b"192.0.2.9", b"192.0.2.256"), "malformed"),
    "an address of the other family": (LINE.replace(b"TCP4", b"TCP6"), "malformed"),
    "a port that is none": (LINE.replace(b"4711", b"65536"), "malformed"),
    "a port too few": (b"PROXY TCP4 192.0.2.9 198.51.100.1 4711\r\n", "malformed"),
    "a family that is none": (LINE.replace(b"TCP4", b"UDP4"), "malformed"),
    "two spaces": (LINE.replace(b" 4711", b"  4711"), "malformed"),
    "a line without end": (b"PROXY TCP4 " + b"1" * 96, "too_long"),
    "a line that ends too late": (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "too_long"),
    "a block cut short": (second(0x11, V4[:-1]), "malformed"),
    "no block": (second(0x21, b""), "malformed"),
    "another version": (second(0x11, V4, command=0x31), "malformed"),
    "a command that is none": (second(0x11, V4, command=0x22), "malformed"),
    "datagrams": (second(0x12, V4), "unsupported"),
    "a socket in a file system": (second(0x31, b"x" * 216), "unsupported"),
    "a family that is not specified": (second(0x41, V4), "unsupported"),
    "a transport that is not specified": (second(0x13, V4), "unsupported"),
    "longer than the limit": (second(0x11, V4, length=LIMITS.proxy_header - 15), "too_long"),
}
BEHIND = b"EHLO client.example\r\nPROXY TCP4 1.1.1.1 2.2.2.2 3 4\r\n"


@pytest.mark.parametrize("name", GOOD)
def test_what_is_believed(name: str) -> None:
    header, client = GOOD[name]
    assert extent(header, LIMITS.proxy_header) == extent(header + BEHIND, LIMITS.proxy_header) == len(header)
    assert client_of(header) == client


@pytest.mark.parametrize("name", GOOD)
def test_its_beginning_is_never_enough_and_never_too_much(name: str) -> None:
    header, _ = GOOD[name]
    assert [extent(header[:end], LIMITS.proxy_header) for end in range(1, len(header))] == [None] * (len(header) - 1)


def judged(octets: bytes) -> str:
    """Why these octets are no header; empty: they are one, or the beginning of one."""
    try:
        end = extent(octets, LIMITS.proxy_header)
        if end is not None:
            client_of(octets[:end])
    except HeaderError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", BAD)
def test_what_is_not(name: str) -> None:
    octets, reason = BAD[name]
    assert judged(octets) == reason


BLOCKS = st.binary(max_size=40).map(lambda block: second(0x11, block)) | st.binary(max_size=40)
LINES = st.lists(st.sampled_from([b"TCP4", b"TCP6", b"1.2.3.4", b"::1", b"25", b"x", b"", b"\r", b"\x00", b"\xff"]))


@given(BLOCKS | LINES.map(lambda words: b"PROXY " + b" ".join(words) + b"\r\n") | st.binary().map(SIGNATURE.__add__))
@example(b"")
def test_whatever_a_balancer_sends_is_a_header_or_not(octets: bytes) -> None:
    assert judged(octets) in {"", "missing", "malformed", "unsupported", "too_long"}


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[socket.socket, Link]]:
    """A balancer's socket, and our link with it."""
    theirs, ours = socket.socketpair()
    prepare_pair(ours)
    link = Link(ours)
    with theirs:
        try:
            yield theirs, link
        finally:
            link.close()


def prepare_pair(ours: socket.socket) -> None:
    """Set what a connection of ours has; a pair of sockets knows no TCP_NODELAY."""
    with contextlib.suppress(OSError):
        prepare(ours)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_what_stands_behind_it_is_not_taken(name: str, size: int) -> None:
    header, client = GOOD[name]
    octets = header + BEHIND
    async with pair() as (theirs, link), trio.open_nursery() as nursery:

        async def send() -> None:
            for start in range(0, len(octets), size):
                theirs.send(octets[start : start + size])
                await wait_all_tasks_blocked()

        nursery.start_soon(send)
        assert await introduced(link, LIMITS) == client
        taken = b""
        while len(taken) < len(BEHIND):
            await link.readable()
            taken += link.read(1000) or b""
        assert taken == BEHIND


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_header_is_not_read(name: str) -> None:
    octets, reason = BAD[name]
    async with pair() as (theirs, link):
        theirs.send(octets)
        with pytest.raises(HeaderError, match=reason):
            await introduced(link, LIMITS)


@pytest.mark.parametrize("begun", [b"", b"PRO", LINE[:-1], SIGNATURE, second(0x11, V4)[:-1]])
async def test_a_balancer_that_says_no_more_is_waited_for_but_not_for_ever(begun: bytes, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0.01
    async with pair() as (theirs, link):
        theirs.send(begun)
        start = trio.current_time()
        with pytest.raises(HeaderError, match="timeout"):
            await introduced(link, LIMITS)
        assert trio.current_time() - start == LIMITS.proxy_header_time


@pytest.mark.parametrize("begun", [b"", b"PRO", LINE[:-1], SIGNATURE])
async def test_a_balancer_that_leaves(begun: bytes) -> None:
    async with pair() as (theirs, link):
        theirs.send(begun)
        theirs.close()
        with pytest.raises(HeaderError, match="closed"):
            await introduced(link, LIMITS)


async def test_a_balancer_that_resets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as theirs:
        theirs.connect(listening.getsockname())
        ours, _ = listening.accept()
        prepare(ours)
        link = Link(ours)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        with pytest.raises(HeaderError, match="reset"):
            await introduced(link, LIMITS)
        link.close()
