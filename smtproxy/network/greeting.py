"""Greeting, hello and TLS with a backend's server, up to the first real command: for those who ask and bring no mail.

Sessions go the same way in their own rooms (`session/opening.py`). It must never try again: what that means is for its
callers to say.
"""

from collections.abc import Callable

from smtproxy.network.link import Link
from smtproxy.network.tls import agreed
from smtproxy.session.upstream import Stray, Upstream

_READ = 65536


async def greet(link: Link, upstream: Upstream, start_tls: Callable[[], None]) -> None:
    """Go on until the dialogue is `ready` or `broken`; `start_tls` begins a handshake on the link.

    Raises OSError: the connection broke, or there is no TLS.
    """
    while not upstream.ready and not upstream.broken:
        if link.handshaking:
            if link.shake_hands():
                link.write(upstream.secured(agreed(link.tls)))
            else:
                await link.progress()
            continue
        await link.readable()
        octets = link.read(_READ)
        if octets is None:
            continue
        if not octets:
            upstream.broken = "closed"
            return
        for got in upstream.receive(octets):
            if isinstance(got, Stray):
                return
            command = upstream.opening(got)
            if upstream.unread and not upstream.broken:
                upstream.broken = "talks unasked"
                return
            if command:
                link.write(command)
            elif upstream.handshake:
                start_tls()
