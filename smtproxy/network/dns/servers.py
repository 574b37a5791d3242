"""The name servers, and which of them work. One that is down is not asked: a dead server costs a session nothing.

Silence alone brings nobody down. It may be the silence of a domain whose own servers are slow, and whoever owns such a
domain could send three mails and switch our DNS off. So a server that was silent several times in a row is asked for
the root's servers, which each resolver knows without asking anybody, and is down if it is silent to that as well.
"""

from collections.abc import Sequence
from pathlib import Path

import trio

from smtproxy.network.boundary import Surviving
from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.exchange import Exchange, Silence
from smtproxy.network.dns.packet import question
from smtproxy.network.sockets import Endpoint
from smtproxy.session.records import Event, Journal

FAILURES = 3
"""Silences in a row before a server is doubted. dnspython and libc ask each of them again and again."""
PROBE_TIME = 2.0
"""Seconds a server has for a question that it can answer by itself."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two probes of a server that is down; each pause is twice the one before."""
RESOLV_CONF = Path("/etc/resolv.conf")
PORT = 53
MOST = 3
"""Servers taken from resolv.conf, as libc does (MAXNS)."""

_ROOT = question(".", "NS") or b""


class Server:
    """One of them."""

    __slots__ = ("down", "endpoint", "silences", "suspected")

    def __init__(self, endpoint: Endpoint) -> None:
        """Think well of it."""
        self.endpoint = endpoint
        self.silences = 0
        """In a row."""
        self.suspected = False
        """A task asks it whether it is there."""
        self.down = False


class Servers:
    """All of them, in the order in which they are asked."""

    def __init__(
        self, endpoints: Sequence[Endpoint], exchange: Exchange, nursery: trio.Nursery, journal: Journal
    ) -> None:
        """Think well of all; `nursery` is where they are watched when they fail."""
        self._all = tuple(map(Server, endpoints))
        self._exchange = exchange
        self._nursery = nursery
        self._journal = journal
        self._down_since: float | None = None
        self.working: tuple[Server, ...] = self._all
        """Those that are not down; empty: nobody is to be asked."""

    def answered(self, server: Server) -> None:
        """Note that it is there."""
        server.silences = 0

    def silent(self, server: Server, why: Silence) -> None:
        """Note that it did not answer."""
        if why is Silence.OURS:
            return
        server.silences += 1
        if server.silences >= FAILURES and not server.suspected:
            server.suspected = True
            self._nursery.start_soon(self._watch, server)

    async def _watch(self, server: Server) -> None:
        """Ask it until it answers."""
        pause = FIRST_PAUSE
        while True:
            found: Answer | Silence = Answer(Status.SERVFAIL)  # one that says what nobody can read is there
            with Surviving(self._journal, "dns"):
                found = await self._exchange(server.endpoint, _ROOT, PROBE_TIME)
            if not isinstance(found, Silence):
                break
            if not server.down:
                server.down = True
                self._count(found.value)
            await trio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        server.silences = 0
        server.suspected = server.down = False
        self._count("")

    def _count(self, reason: str) -> None:
        """Note who works; write a line when all are down, and when the first one is back."""
        self.working = tuple(one for one in self._all if not one.down)
        servers = [str(one.endpoint) for one in self._all]
        if not self.working:
            self._down_since = trio.current_time()
            self._journal.record(Event.DNS_DOWN, {"servers": servers, "reason": reason})
        elif self._down_since is not None:
            passed = trio.current_time() - self._down_since
            self._down_since = None
            back = [str(one.endpoint) for one in self.working]
            self._journal.record(Event.DNS_UP, {"servers": back, "down": round(passed, 3)})


def system_servers(file: Path = RESOLV_CONF) -> tuple[Endpoint, ...]:
    """Return the servers that this machine asks; as resolv.conf(5) has it, itself where the file names none."""
    try:
        lines = file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    words = (line.split() for line in lines)
    named = [word[1] for word in words if word[:1] == ["nameserver"] and word[1:]]
    return tuple(Endpoint(host, PORT) for host in named[:MOST]) or (Endpoint("127.0.0.1", PORT),)
