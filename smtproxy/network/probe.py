"""Probes: whether a server is there, and what it offers. Health is learned here, never by a client's mail alone.

One task per server asks at start, then once a minute, and with growing pauses while the server is down.
"""

from functools import partial

import trio

from smtproxy.network.greeting import greet
from smtproxy.network.link import Link
from smtproxy.network.pool import LONGEST_PAUSE, Pool, Server, resolve
from smtproxy.network.sockets import start_connect
from smtproxy.network.tls import trouble
from smtproxy.session.limits import Limits
from smtproxy.session.settings import BackendTls
from smtproxy.session.slots import Purpose
from smtproxy.session.upstream import Upstream

INTERVAL = 60.0
"""Seconds between probes of a server that is well."""
AGAIN = 0.1
"""Seconds until a first probe that found no place is tried again: without it a worker can serve nobody."""


async def watch(pool: Pool, server: Server, hostname: str, limits: Limits, probed: trio.Event) -> None:
    """Probe a server for ever; `probed` is set after the first time."""
    while True:
        if not await probe(pool, server, hostname, limits) and server.capabilities is None:
            await trio.sleep(AGAIN)
            continue
        probed.set()
        if server.down:
            await trio.sleep(server.pause)
            server.pause = min(server.pause * 2, LONGEST_PAUSE)
        else:
            await _quiet(server)


async def _quiet(server: Server) -> None:
    """Wait for the next probe of a server that is well, or until a session found that it is not."""
    server.trouble = trio.Event()
    with trio.move_on_after(INTERVAL):
        await server.trouble.wait()


async def probe(pool: Pool, server: Server, hostname: str, limits: Limits) -> bool:
    """Connect, say EHLO (HELO) and STARTTLS where TLS is wanted, read what is offered, say QUIT.

    False: there was no place for it.
    """
    place = pool.take_for_probe(server)
    if place is None:
        return False
    try:
        asking = _Asking(pool, server, hostname, limits)
        upstream, reason = await asking.ask()
        if upstream.securing and upstream.may_be_clear:
            pool.no_tls(server, reason or "closed")
            asking.security = BackendTls.OFF
            upstream, reason = await asking.ask()
        if reason == "closed" and upstream.waiting_for is Purpose.EHLO:
            # RFC 5321 3.2 asks for a 5xx; some old servers hang up on EHLO instead. Each probe asks anew: one that was
            # shut down in this moment must not count as old for ever.
            asking.extended = False
            upstream, reason = await asking.ask()
        if upstream.ready:
            server.extended = asking.extended
            pool.reached(server, upstream.capabilities, upstream.banner, upstream.tls)
        else:
            refusal = upstream.refusal
            text = "" if refusal is None else f"{refusal.code} {refusal.text}"
            full = refusal is not None and refusal.code == 421
            pool.failed(server, "full" if full else reason, text)
            server.lost = server.down
    finally:
        pool.give_back(place)
    return True


class _Asking:
    """One probe of a server, of as many connections as it takes."""

    def __init__(self, pool: Pool, server: Server, hostname: str, limits: Limits) -> None:
        self.extended = True
        self.security = pool.tls.security
        self._tls = pool.tls
        self._server = server
        self._hostname = hostname
        self._limits = limits

    async def ask(self) -> tuple[Upstream, str]:
        """Return the dialogue as far as it came, and why it came no further."""
        server = self._server
        upstream = Upstream(server.name, self._hostname, extended=self.extended, security=self.security)
        with trio.move_on_after(3 * self._limits.connect_time):
            try:
                server.address = await resolve(server.endpoint)
                link = Link(start_connect(*server.address))
                try:
                    await greet(link, upstream, partial(self._tls.start, link, server.endpoint.host))
                    if upstream.ready:
                        link.write(b"QUIT\r\n")
                finally:
                    link.close()
            except OSError as error:
                return upstream, f"TLS: {trouble(error)}" if upstream.securing else trouble(error)
            return upstream, upstream.broken
        return upstream, "timeout"
