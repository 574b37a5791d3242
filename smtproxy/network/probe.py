"""Probes: whether a server is there, and what it offers. Health is learned here, never by a client's mail alone.

One task per server asks at start, then once a minute, and with growing pauses while the server is down.
"""

import trio

from smtproxy.network.pool import LONGEST_PAUSE, Pool, Server, resolve
from smtproxy.network.sockets import close, start_connect
from smtproxy.session.limits import Limits
from smtproxy.session.slots import Purpose
from smtproxy.session.upstream import Stray, Upstream

INTERVAL = 60.0
"""Seconds between probes of a server that is well."""
_READ = 65536


async def watch(pool: Pool, server: Server, hostname: str, limits: Limits, probed: trio.Event) -> None:
    """Probe a server for ever; `probed` is set after the first time."""
    while True:
        await probe(pool, server, hostname, limits)
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


async def probe(pool: Pool, server: Server, hostname: str, limits: Limits) -> None:
    """Connect, say EHLO (HELO), read what is offered, say QUIT."""
    place = pool.take_for_probe(server)
    if place is None:
        return
    try:
        extended = True
        upstream, reason = await _ask(server, hostname, limits, extended=True)
        if reason == "closed" and upstream.waiting_for is Purpose.EHLO:
            # RFC 5321 3.2 asks for a 5xx; some old servers hang up on EHLO instead. Each probe asks anew: one that was
            # shut down in this moment must not count as old for ever.
            extended = False
            upstream, reason = await _ask(server, hostname, limits, extended=False)
        if upstream.ready:
            server.extended = extended
            pool.reached(server, upstream.capabilities, upstream.banner)
        else:
            refusal = upstream.refusal
            text = "" if refusal is None else f"{refusal.code} {refusal.text}"
            full = refusal is not None and refusal.code == 421
            pool.failed(server, "full" if full else reason, text)
    finally:
        pool.give_back(place)


async def _ask(server: Server, hostname: str, limits: Limits, *, extended: bool) -> tuple[Upstream, str]:
    """Return the dialogue as far as it came, and why it came no further."""
    upstream = Upstream(server.name, hostname, extended=extended)
    with trio.move_on_after(limits.connect_time + 2 * limits.connect_time):
        try:
            server.address = await resolve(server.endpoint)
            await _greet(server, upstream)
        except OSError as error:
            return upstream, error.strerror or type(error).__name__
        return upstream, upstream.broken
    return upstream, "timeout"


async def _greet(server: Server, upstream: Upstream) -> None:
    if server.address is None:
        return
    sock = start_connect(*server.address)
    try:
        while not upstream.ready and not upstream.broken:
            await trio.lowlevel.wait_readable(sock)
            octets = sock.recv(_READ)
            if not octets:
                upstream.broken = "closed"
                return
            for got in upstream.receive(octets):
                if isinstance(got, Stray):
                    return
                command = upstream.opening(got)
                if command:
                    sock.send(command)
        sock.send(b"QUIT\r\n")
    finally:
        close(sock)
