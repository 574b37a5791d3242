"""The pool: which servers a backend has, how they are, and who may hold a connection to them.

A *place* is the right to have one connection to a server; `max_connections` counts places per server, probes included
(Exchange allows 20 connections per source). At the ceiling a session waits in line, and sessions that hold a place
without using it are asked to give it back: the lease is a promise to those who use it, not to those who sit on it.
Places are counted for all workers together (`ceiling.py`); the line is this worker's own, and its longest wait stands
in the count, so that workers take turns as sessions do.

*Full* and *down* are told apart: a server that turns a new connection away while we hold others is full, and the
ceiling sinks to what is open; it is down only when nothing of ours is open there. Servers are tried in their order, or
by their shares (`weights`), those that are down last: what was learned from one failure never refuses a mail by itself.
Only when the probes of all servers fail are new clients turned away, before the banner: they try the next MX.
"""

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import trio

from smtproxy.network.boundary import Surviving
from smtproxy.network.ceiling import Ceiling, Page
from smtproxy.network.link import Link
from smtproxy.network.pace import complains
from smtproxy.network.sockets import Endpoint
from smtproxy.network.tls import CLEAR_TEXT, ServerTls
from smtproxy.network.warm import Warm, WarmConnections, dismiss
from smtproxy.policy.admission import Admission, AdmissionSettings
from smtproxy.session.dialogue import Tls
from smtproxy.session.events import BackendFailed
from smtproxy.session.records import Event, Journal
from smtproxy.session.settings import BackendTls
from smtproxy.session.upstream import Upstream
from smtproxy.wire.ehlo import Capabilities, intersect

RECALL_AFTER = 1.0
"""Seconds a place may lie idle while others wait: a round trip to any honest client is shorter."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0
"""Seconds between probes of a server that is down: doubled each time between these two. While all are down each client
is turned away, and comes again after minutes: a pause of a minute would cost it mail that was delayed for nothing.
"""


class Holder(Protocol):
    """A session, as the pool knows it."""

    @property
    def recallable_since(self) -> float | None:
        """Since when it holds a place without using it."""

    @property
    def streaming(self) -> bool:
        """Whether it passes on a body that comes slowly, maybe."""

    @property
    def good(self) -> bool:
        """Whether its sender has a good record. Asked only where places are short."""

    def recall(self) -> None:
        """Ask it to give its place back."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a probe has learned of a server: enough to serve clients before the next one."""

    capabilities: Capabilities
    extended: bool
    address: tuple[int, tuple[str, int]]


@dataclass(slots=True)
class Server:
    """One backend server and what is known of it."""

    endpoint: Endpoint
    places: Ceiling
    """How many connections there may be, and how many there are."""
    admission: Admission
    """How many it stands."""
    judged: int = 0
    """The ceiling that `admission` set last."""
    weight: int = 0
    """Its share of the connections; 0: servers are taken in their order."""
    credit: float = 0.0
    """How much of its share it is owed (above 0) or has had in advance; between -1 and 1."""
    down: bool = False
    lost: bool = False
    """A probe found it down, too: not just one session."""
    trouble: trio.Event = field(default_factory=trio.Event)
    """Set when a session finds it down: a probe is due."""
    pause: float = FIRST_PAUSE
    extended: bool = True
    """It understands EHLO; some drop the connection instead of refusing it."""
    capabilities: Capabilities | None = None
    """From the last successful probe."""
    clear: bool = False
    """A handshake failed that had not to succeed: connections are in clear text, until a probe has more luck."""
    asked_at: float = 0.0
    """Since when a first probe has waited for a place; 0: none does."""
    address: tuple[int, tuple[str, int]] | None = None
    """Family and address, resolved by the last probe; host names are not looked up in a session's way."""

    @property
    def name(self) -> str:
        """host:port."""
        return str(self.endpoint)

    @property
    def sighting(self) -> Sighting | None:
        """What the last successful probe has learned; None: there was none."""
        if self.capabilities is None or self.address is None:
            return None
        return Sighting(self.capabilities, self.extended, self.address)

    @property
    def open(self) -> int:
        """Connections of this worker."""
        return self.places.held

    @property
    def ceiling(self) -> int:
        """Connections that all workers together may hold."""
        return self.places.ceiling


@dataclass(slots=True)
class Place:
    """The right to one connection."""

    server: Server
    holder: Holder | None
    warm: Warm | None = None
    """The connection that comes with it; None: a new one is to be made."""
    given_back: bool = False


@dataclass(slots=True)
class Waiter:
    """A session in line for a place."""

    tried: frozenset[str]
    holder: Holder
    since: float
    """When it came."""
    fresh: bool = False
    """It must not be a warm connection."""
    known: bool = False
    """Its sender has a good record."""
    arrived: trio.Event = field(default_factory=trio.Event)
    place: Place | None = None


class Pool:
    """The servers of one backend."""

    def __init__(
        self,
        name: str,
        servers: Iterable[Endpoint],
        max_connections: int,
        max_message_size: int,
        journal: Journal,
        warm: WarmConnections | None = None,
        tls: ServerTls = CLEAR_TEXT,
        ceiling: Callable[[str], Ceiling] | None = None,
    ) -> None:
        """`max_connections` is per server; `max_message_size` in octets bounds the SIZE that is offered.

        `ceiling` finds what all workers share, by the server's name; None: this is the only worker.
        """
        self.name = name
        self.max_connections = max_connections
        if ceiling is None:
            ceiling = partial(_of_its_own, max_connections)
        self.servers = [Server(one, ceiling(str(one)), Admission(AdmissionSettings())) for one in servers]
        self.offered: Capabilities | None = None
        """What may be promised to clients; None: no server was ever reached."""
        self._max_message_size = max_message_size
        self.withheld: frozenset[str] = frozenset()
        """Keywords that are not offered whatever the servers can."""
        self._journal = journal
        self.tls = tls
        """How connections to its servers are protected."""
        self.warm = WarmConnections(0, 0) if warm is None else warm
        self._waiting: dict[int, Waiter] = {}
        """The line, in the order of arrival."""
        self._holders: dict[int, Place] = {}
        self.boundary = Surviving(journal, f"backend {name}")
        """What looks after it in the background is in here."""
        self._waited = False
        """Somebody had to wait since the servers were judged last."""

    def share(self, weights: Sequence[int]) -> None:
        """Give the servers shares of the connections, one for each; none: they are taken in their order."""
        for server, weight in zip(self.servers, weights, strict=bool(weights)):
            server.weight = weight

    def adapt(self, floor: int) -> None:
        """Never judge that a server stands fewer connections than these."""
        for server in self.servers:
            server.admission = Admission(AdmissionSettings(floor))

    def reserve(self, share: float) -> None:
        """Keep a share of each server's places for senders with a good record."""
        for server in self.servers:
            server.places.share = share

    def begin_with(self, sightings: Mapping[str, Sighting]) -> None:
        """Take what others have seen, by the servers' names, for what was seen here; the next probe knows better."""
        for server in self.servers:
            seen = sightings.get(server.name)
            if seen is not None:
                server.capabilities, server.extended, server.address = seen.capabilities, seen.extended, seen.address
        self._offer()

    # Places

    def take(self, tried: frozenset[str], holder: Holder, *, fresh: bool = False) -> Place | BackendFailed | Waiter:
        """Return a place on a server that was not tried, or why there is none, or a place in the line.

        `fresh`: not one that comes with a warm connection.
        """
        usable = [server for server in self._in_order() if server.name not in tried]
        if not usable:
            return BackendFailed("none")
        now = trio.current_time()
        for server in usable:
            if self._is_waited_for(server, holder):
                continue
            warm = None if fresh else self.warm.take(server.name)
            if warm is not None:
                return self._hand_over(warm, server, holder)
            if self._count_one(server, now, holder):
                return self._place(server, holder)
        self._waited = True
        waiter = Waiter(tried, holder, now, fresh, holder.good)
        self._waiting[id(waiter)] = waiter
        # Once more, behind the claim: what another worker gave back before it was heard rang no bell.
        self._claim()
        self._serve_line()
        if waiter.place is not None:
            return waiter.place
        self.press(now)
        return waiter

    def take_for_probe(self, server: Server) -> Place | None:
        """Return a place for a probe; None: the server is in full use, which is a sign of life.

        A server that was never reached gets in line: without its first probe this worker can serve nobody.
        """
        if self._count_one(server, server.asked_at or trio.current_time()):
            server.asked_at = 0.0
            self._claim()
            return self._place(server, None)
        if server.capabilities is None and not server.asked_at:
            server.asked_at = trio.current_time()
            self._claim()
        return None

    def leave_line(self, waiter: Waiter) -> None:
        """The session does not wait any more; a place that came too late goes to the next one."""
        if self._waiting.pop(id(waiter), None) is not None:
            self._claim()
        if waiter.place is not None:
            if waiter.place.warm is not None:
                dismiss(waiter.place.warm.link)
            self.give_back(waiter.place)

    def give_back(self, place: Place) -> None:
        """The connection is closed."""
        if place.given_back:
            return
        place.given_back = True
        place.server.places.give()
        self._holders.pop(id(place), None)
        self._serve_line()

    def keep(self, place: Place, link: Link, upstream: Upstream) -> bool:
        """Keep a connection warm, place and all, or hand it to the first of those who wait for one.

        False: it is to be closed, because others wait for something else, or there is no need.
        """
        places = place.server.places
        if places.rivals or places.total > places.ceiling or place.server.down:
            return False
        reserved = places.total + places.spare > places.ceiling
        waiter = self._next_for(place.server, known=reserved)
        if reserved and waiter is None:
            return False  # else strangers would hand on from one to the next a place that is not for them
        if self._waiting and (waiter is None or not self.warm.may_serve(upstream) or link.spoke):
            return False
        place.holder = place.warm = None
        self._holders.pop(id(place), None)
        warm = Warm(place.server.name, link, upstream, trio.current_time(), lambda: self.give_back(place))
        if waiter is None:
            return self.warm.keep(warm)
        del self._waiting[id(waiter)]
        waiter.place = self._hand_over(warm, place.server, waiter.holder)
        waiter.arrived.set()
        self._claim()
        return True

    def _next_for(self, server: Server, *, known: bool) -> Waiter | None:
        """Return who comes first, or first of those who are known, if a warm connection to this server will do."""
        first = next((one for one in self._waiting.values() if one.known or not known), None)
        return None if first is None or first.fresh or server.name in first.tried else first

    def press(self, now: float) -> None:
        """Others wait: ask those who hold a place without using it, the longest first, then those who stream slowly."""
        wanted = len(self._waiting) + max((server.places.rivals for server in self.servers), default=0)
        if not wanted:
            return
        idle: list[tuple[float, Holder]] = []
        slow: list[Holder] = []
        for place in self._holders.values():
            holder = place.holder
            if holder is None:
                continue
            since = holder.recallable_since
            if since is not None and now - since >= RECALL_AFTER:
                idle.append((since, holder))
            elif since is None and holder.streaming:
                slow.append(holder)
        idle.sort(key=lambda one: one[0])
        for _, holder in idle[:wanted]:
            holder.recall()
        for holder in slow:
            holder.recall()

    def _in_order(self) -> list[Server]:
        return sorted(self.servers, key=lambda server: (server.down, -server.credit))

    def _charge(self, server: Server) -> None:
        """A connection goes to this server: the others are owed their shares of it.

        Smooth weighted round robin, as nginx does it: 3 and 1 become a, b, a, a, and not a, a, a, b. Connections are
        counted when they are taken, warm ones, too: counted while they are open, a warm one would repel the next mail.
        """
        shares = sum(one.weight for one in self.servers if not one.down)
        if not server.weight or not shares:
            return
        for one in self.servers:
            if not one.down:
                had = 1.0 if one is server else 0.0
                # Bounded: one that was full for an hour does not save up for a rush.
                one.credit = max(-1.0, min(1.0, one.credit + one.weight / shares - had))

    def _is_waited_for(self, server: Server, holder: Holder) -> bool:
        """Whether somebody in line comes before the holder there; those who tried it in vain hold up nobody.

        Nor do strangers hold up who is known: they wait although there may be places, which are kept for him.
        """
        waiting = [waiter for waiter in self._waiting.values() if server.name not in waiter.tried]
        return bool(waiting) and (any(waiter.known for waiter in waiting) or not holder.good)

    def _count_one(self, server: Server, since: float, holder: Holder | None = None) -> bool:
        """Count one more connection there, if there may be one (for a probe: None); close a warm one for it."""
        places = server.places
        if holder is None:
            return places.take(since) or (self.warm.evict(server.name) and places.take(since))
        if places.take(since, known=False):
            return True
        known = holder.good  # asked late: it is a question to the store
        if known and places.spare and places.take(since):
            return True
        return self.warm.evict(server.name) and places.take(since, known=known)

    def _hand_over(self, warm: Warm, server: Server, holder: Holder) -> Place:
        """The place that the warm connection held goes on with a new holder."""
        self._charge(server)
        place = Place(server, holder, warm)
        self._holders[id(place)] = place
        return place

    def _place(self, server: Server, holder: Holder | None) -> Place:
        """The place that was counted."""
        if holder is not None:
            self._charge(server)
        place = Place(server, holder)
        self._holders[id(place)] = place
        return place

    def _serve_line(self) -> None:
        """Give free places to those in line, first come first served."""
        if not self._waiting:
            return
        free = [server for server in self._in_order() if server.places.has_room(known=True)]
        reserved = set[str]()
        for waiter in tuple(self._waiting.values()) if free else ():
            if not free:
                break
            for server in tuple(free):
                if server.name in waiter.tried or (server.name in reserved and not waiter.known):
                    continue
                if server.places.take(waiter.since, known=waiter.known):
                    del self._waiting[id(waiter)]
                    waiter.place = self._place(server, waiter.holder)
                    waiter.arrived.set()
                    break
                # Those behind have waited shorter; but one of them may be known.
                if waiter.known:
                    free.remove(server)
                else:
                    reserved.add(server.name)
        self._claim()

    def _claim(self) -> None:
        """Tell the other workers since when somebody of ours has waited for each server."""
        for server in self.servers:
            first = next((one.since for one in self._waiting.values() if server.name not in one.tried), 0.0)
            server.places.claim(min(first or server.asked_at, server.asked_at or first))

    def hear_bell(self) -> None:
        """Another worker freed a place, or wants one: make room for it, and look whether there is one for us."""
        for server in self.servers:
            if server.places.rivals and not server.places.has_room():
                self.warm.evict(server.name)
        self._serve_line()
        self.press(trio.current_time())

    @property
    def waiting(self) -> int:
        """Number of sessions in line."""
        return len(self._waiting)

    def dialogue(self, server: Server, hostname: str) -> Upstream:
        """Return the dialogue of a new connection, on which we call ourselves `hostname`."""
        security = BackendTls.OFF if server.clear else self.tls.security
        return Upstream(server.name, hostname, extended=server.extended, security=security)

    # Health

    @property
    def promised(self) -> Capabilities | None:
        """What may be promised to a client that comes now; None: it had better try another MX."""
        return None if all(server.lost for server in self.servers) else self.offered

    def reached(self, server: Server, capabilities: Capabilities, banner: str, tls: Tls | None = None) -> None:
        """A probe went well; it spoke TLS, or clear text (None)."""
        recovered = server.down or (server.clear and tls is not None)
        if recovered or server.capabilities != capabilities:
            self._journal.record(
                Event.BACKEND_UP,
                {
                    "backend": self.name,
                    "server": server.name,
                    "keywords": [keyword for keyword, _ in capabilities.keywords],
                    "banner": banner,
                    "tls": None if tls is None else tls.version,
                },
            )
        server.down = server.lost = False
        server.clear = server.clear and tls is None
        server.pause = FIRST_PAUSE
        server.capabilities = capabilities
        self._offer()

    def _offer(self) -> None:
        known = [one.capabilities for one in self.servers if one.capabilities is not None]
        self.offered = intersect(known, self._max_message_size, self.withheld) if known else None

    def failed(self, server: Server, reason: str, reply: str = "") -> None:
        """A connection could not be used: full if others are open there, else down. Its place is still held."""
        total = server.places.total
        if reason == "full" and total > 1:
            server.places.change(total - 1)
            self._journal.record(
                Event.BACKEND_FULL,
                {"backend": self.name, "server": server.name, "ceiling": server.ceiling, "reply": reply},
            )
            return
        if server.down:
            return
        server.down = True
        server.trouble.set()
        while self.warm.evict(server.name):
            pass
        self._journal.record(
            Event.BACKEND_DOWN,
            {
                "backend": self.name,
                "server": server.name,
                "reason": reason,
                "reply": reply,
                "retry": server.pause,
            },
        )

    def no_tls(self, server: Server, reason: str) -> None:
        """A handshake failed where clear text will do."""
        if not server.clear:
            server.clear = True
            self._journal.record(Event.BACKEND_CLEAR, {"backend": self.name, "server": server.name, "reason": reason})

    def tend(self, now: float) -> None:
        """Close warm connections that are over, judge how many connections the servers stand. Called once a second."""
        self.warm.tidy(now)
        waited, self._waited = self._waited, False
        for server in self.servers:
            if server.places.judges(now):
                self._admit(server, now, waited=waited or bool(server.places.rivals))
        self._serve_line()

    def heard(self, message: Mapping[str, Any]) -> None:
        """Learn how a server does from the fields of a `message` line."""
        name = message["server"]
        for server in self.servers:
            if server.name == name:
                if "commit_time" in message and message["by"] == "backend":
                    server.places.pace.answered(message["commit_time"])
                if complains(message):
                    server.places.pace.strained()

    def _admit(self, server: Server, now: float, *, waited: bool) -> None:
        """Let a server have as many connections as it stands."""
        places, admission, before = server.places, server.admission, server.places.ceiling
        number, paces, strained = places.pace.news()
        admission.answered(number, paces)
        if strained:
            admission.strained()
        elif before != server.judged:
            admission.changed(now)
        ceiling = admission.next_ceiling(now, before, places.limit, places.total, waiting=waited)
        server.judged = ceiling
        if ceiling != before:
            places.change(ceiling)
            self._journal.record(
                Event.BACKEND_PACE,
                {
                    "backend": self.name,
                    "server": server.name,
                    "ceiling": ceiling,
                    "before": before,
                    "because": admission.because.value,
                    "pace": None if admission.usual is None else round(admission.usual, 4),
                },
            )


def _of_its_own(limit: int, _server: str) -> Ceiling:
    return Ceiling(Page(limit))


async def resolve(endpoint: Endpoint) -> tuple[int, tuple[str, int]]:
    """Look a server's name up (an address needs no look-up). Raises OSError."""
    found = await trio.socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))
