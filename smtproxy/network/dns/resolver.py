"""The resolver: answers from memory, or asks the name servers once, however many want to know.

Three faces, all of them a `Resolver`: `CachingResolver` itself; `BudgetedResolver`, which lets one look-up ask so much
and no more; `AtHand`, which answers from memory or raises `NotAtHand`. Failure is a value, and time is trio's.
"""

from dataclasses import dataclass

import trio

from smtproxy.network.boundary import Surviving
from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.cache import Cache, Key
from smtproxy.network.dns.exchange import Exchange, Silence, Wire
from smtproxy.network.dns.packet import question
from smtproxy.network.dns.servers import Servers
from smtproxy.network.inquiry import NotAtHand
from smtproxy.network.sockets import Endpoint
from smtproxy.session.records import Journal

SHORTEST_TTL = 1.0
"""Seconds that each answer is kept, so that one session gets the same answer twice."""
FAILURE_TTL = 5.0
"""Seconds that a failure is kept. RFC 2308 7 allows 5 minutes; unbound keeps a SERVFAIL for 5 s."""
_PAUSES = 4
"""What cannot even be sent is tried again so often in the time of an attempt."""
MOST_WAITING = 10_000
"""Questions that wait for others to end; beyond, the answer is Status.BUDGET."""


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """What the table [dns] says."""

    servers: tuple[Endpoint, ...] = ()
    timeout: float = 5.0
    """Seconds a question may take in all."""
    attempt: float = 1.5
    """Seconds after which the next server is asked, or the same one again."""
    concurrent: int = 500
    """Questions to name servers at once."""
    per_lookup: int = 100
    """Questions of one look-up that memory cannot answer."""
    cache_entries: int = 50_000
    cache_memory: int = 33_554_432
    """Octets."""
    longest_ttl: float = 3600.0
    longest_negative_ttl: float = 900.0


class Flight:
    """A question on its way."""

    __slots__ = ("answer", "landed", "placed")

    def __init__(self) -> None:
        """Fear the worst."""
        self.answer = Answer(Status.TIMEOUT)
        self.landed = trio.Event()
        self.placed = False
        """It counts against `concurrent`."""


class CachingResolver:
    """The resolver of a process."""

    def __init__(
        self, settings: DnsSettings, nursery: trio.Nursery, journal: Journal, exchange: Exchange | None = None
    ) -> None:
        """Ask by `exchange`, the network as a rule. Questions run in `nursery`: who gives up harms nobody else."""
        self._settings = settings
        self._nursery = nursery
        self._journal = journal
        self._exchange = exchange or Wire()
        self._servers = Servers(settings.servers, self._exchange, nursery, journal)
        self._places = trio.Semaphore(settings.concurrent)
        self._waiting = 0
        self._flights: dict[Key, Flight] = {}
        self.cache = Cache(settings.cache_entries, settings.cache_memory)

    def at_hand(self, name: str, kind: str) -> Answer | None:
        """Return what can be said without asking anybody; None: it must be asked for."""
        found = self.cache.get((_key(name), kind), trio.current_time())
        if found is None and not self._servers.working:
            return Answer(Status.DOWN)
        return found

    async def ask(self, name: str, kind: str) -> Answer:
        """Answer from memory, or ask; join others that ask the same. Never raises."""
        found = self.at_hand(name, kind)
        return await self.ask_anew(name, kind) if found is None else found

    async def ask_anew(self, name: str, kind: str) -> Answer:
        """Ask, whatever is remembered; what comes is remembered."""
        key = _key(name), kind
        flight = self._flights.get(key)
        if flight is None:
            octets = question(*key)
            if octets is None:
                return Answer(Status.INVALID)
            if not self._servers.working:
                return Answer(Status.DOWN)
            if self._waiting >= MOST_WAITING:
                return Answer(Status.BUDGET)
            flight = self._flights[key] = Flight()
            self._nursery.start_soon(self._fly, key, octets, flight)
        await flight.landed.wait()
        return flight.answer

    def forget(self, zone: str) -> None:
        """Forget a name and all names below it."""
        self.cache.forget(_key(zone))

    async def _fly(self, key: Key, octets: bytes, flight: Flight) -> None:
        answer = Answer(Status.SERVFAIL)
        try:
            with Surviving(self._journal, "dns"):
                until = trio.current_time() + self._settings.timeout
                with trio.move_on_at(until):
                    await self._take_place()
                    flight.placed = True
                if flight.placed:
                    flight.answer = await self._question(octets, until)
                answer = self._remember(key, flight.answer)
        finally:
            flight.answer = answer
            if flight.placed:
                self._places.release()
            del self._flights[key]
            flight.landed.set()

    async def _take_place(self) -> None:
        try:
            self._places.acquire_nowait()  # acquire() gives the turn away even where nobody waits
        except trio.WouldBlock:
            self._waiting += 1
            try:
                await self._places.acquire()
            finally:
                self._waiting -= 1

    async def _question(self, octets: bytes, until: float) -> Answer:
        """Ask one server after the other until one gives an answer, or the time is over."""
        turn, attempt = 0, self._settings.attempt
        while (left := until - trio.current_time()) > 0:
            working = self._servers.working
            if not working:
                return Answer(Status.DOWN)
            server = working[turn % len(working)]
            found = await self._exchange(server.endpoint, octets, min(attempt, left))
            turn += 1
            if isinstance(found, Answer):
                self._servers.answered(server)
                # Another server may know better: one alone may have lost its way to the world.
                if found.status is not Status.SERVFAIL or turn >= len(working):
                    return found
                continue
            self._servers.silent(server, found)
            if found is not Silence.TIMEOUT and turn >= len(working):
                await trio.sleep(min(attempt / _PAUSES, left))
        return Answer(Status.TIMEOUT)

    def _remember(self, key: Key, answer: Answer) -> Answer:
        """Keep an answer for as long as is good."""
        settings, now = self._settings, trio.current_time()
        match answer.status:
            case Status.FOUND:
                ttl = min(answer.ttl, settings.longest_ttl)
            case Status.NO_DATA | Status.NO_NAME:
                ttl = min(answer.ttl, settings.longest_negative_ttl)
            case Status.DOWN:
                return answer
            case _:
                ttl = FAILURE_TTL
        ttl = max(ttl, SHORTEST_TTL)
        kept = Answer(answer.status, answer.records, ttl, now)
        self.cache.put(key, kept, now + ttl)
        return kept


class BudgetedResolver:
    """The resolver within a budget: whatever a client makes us ask, it is bounded.

    One for each look-up. With one for a session a sender whose own SPF record asks for a hundred names left nothing for
    the next sender it claimed to be.
    """

    __slots__ = ("_resolver", "left")

    def __init__(self, resolver: CachingResolver, budget: int) -> None:
        """Let it ask so often; what memory answers is free."""
        self._resolver = resolver
        self.left = budget

    async def ask(self, name: str, kind: str) -> Answer:
        """Answer, or say that it was too much."""
        found = self._resolver.at_hand(name, kind)
        if found is not None:
            return found
        if self.left <= 0:
            return Answer(Status.BUDGET)
        self.left -= 1
        return await self._resolver.ask_anew(name, kind)


class AtHand:
    """The resolver's memory alone."""

    __slots__ = ("_resolver",)

    def __init__(self, resolver: CachingResolver) -> None:
        """Ask nobody but this one's memory."""
        self._resolver = resolver

    async def ask(self, name: str, kind: str) -> Answer:
        """Answer at once. Raises NotAtHand where somebody would have to be asked."""
        found = self._resolver.at_hand(name, kind)
        if found is None:
            raise NotAtHand
        return found


def _key(name: str) -> str:
    """Return the form of a name that is compared. RFC 4343"""
    return name.lower().removesuffix(".") or name
