"""The PROXY protocol, versions 1 and 2: who the client is, as a balancer says it in front of the first octet.

Source: https://www.haproxy.org/download/3.1/doc/proxy-protocol.txt, called "the specification" here. The header is read
to its last octet and not one further: what stands behind it is the client's.

* A listener asks for a header only where the connection comes from a network that was named for it. From everybody else
  "PROXY TCP4 ..." is an unknown command: whoever may claim an address may claim any (section 5).
* Where a header is due, one that is missing or wrong ends the connection: taken as the balancer's own, its client would
  be everything that the balancer's address may be.
* LOCAL and UNKNOWN (health checks: haproxy sends the one with version 2, the other with version 1) are the balancer
  speaking for itself, and served as such: "the receiver must accept this connection as valid and must use the real
  connection endpoints" (section 2.2; section 2.1 says SHOULD).

The library parses; where a header ends is found here, since it must be known before anything behind it is read.
"""

import socket
import struct

import trio
from proxyprotocol import ProxyProtocolIncompleteError
from proxyprotocol.detect import ProxyProtocolDetect
from proxyprotocol.result import is_ipv4, is_ipv6

from smtproxy.network.link import Link
from smtproxy.session.limits import Limits
from smtproxy.session.networks import address_of

_LINE = b"PROXY "
_LONGEST_LINE = 107
"""Octets of a header of version 1, CRLF included. Specification, section 2.1"""
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = 16
"""Octets of the fixed part of a header of version 2; its last two say how many follow."""
_PROXY = 0x1
_KNOWN = frozenset({0x00, 0x11, 0x21})
"""Families and transports of version 2 that a mail client can come by: unspecified, TCP over IPv4, TCP over IPv6."""
_LIBRARY = ProxyProtocolDetect()


class HeaderError(Exception):
    """There is no header that can be believed. The one word of its text says why, for the log."""


async def introduced(link: Link, limits: Limits) -> tuple[str, int] | None:
    """Read the header in front of a connection; return the client's address and port, None: it is the balancer itself.

    Raises HeaderError.
    """
    with trio.move_on_after(limits.proxy_header_time):
        return client_of(await _receive(link, limits.proxy_header))
    raise HeaderError("timeout")


async def _receive(link: Link, longest: int) -> bytes:
    """Read a header and nothing behind it: each octet is looked at before it is taken."""
    header = b""
    while True:
        await link.readable()
        try:
            seen = link.sock.recv(max(1, longest - len(header)), socket.MSG_PEEK)
            if not seen:
                raise HeaderError("closed")
            end = extent(header + seen, longest)
            header += link.sock.recv(len(seen) if end is None else end - len(header))
        except BlockingIOError:
            link.can_read = False
        except OSError:
            raise HeaderError("reset") from None
        else:
            if end is not None:
                return header


def extent(octets: bytes, longest: int) -> int | None:
    """Return where the header ends that these octets begin with; None: not yet, and all of them belong to it.

    Raises HeaderError where they begin no header, or one of more than `longest` octets.
    """
    if octets.startswith(_LINE):
        end = octets.find(b"\n", 0, _LONGEST_LINE) + 1
        if not end and len(octets) >= _LONGEST_LINE:
            raise HeaderError("too_long")
        return end or None
    if octets.startswith(_SIGNATURE):
        if len(octets) < _FIXED:
            return None
        end = _FIXED + int.from_bytes(octets[_FIXED - 2 : _FIXED], "big")
        if end > longest:
            raise HeaderError("too_long")
        return end if len(octets) >= end else None
    if octets and (_LINE.startswith(octets) or _SIGNATURE.startswith(octets)):
        return None
    raise HeaderError("missing")


def client_of(header: bytes) -> tuple[str, int] | None:
    """Return the address and port that a whole header names; None: the balancer speaks for itself.

    Raises HeaderError.
    """
    if header.startswith(_SIGNATURE) and header[12] & 0xF == _PROXY and header[13] not in _KNOWN:
        raise HeaderError("unsupported")  # a socket in a file system, datagrams, or what is not specified
    try:
        result = _LIBRARY.unpack(header)
        if not (is_ipv4(result) or is_ipv6(result)):
            return None
        address, port = result.source
        return str(address_of(str(address))), port
    except (ValueError, struct.error, ProxyProtocolIncompleteError):  # struct.error: an address block cut short
        raise HeaderError("malformed") from None
