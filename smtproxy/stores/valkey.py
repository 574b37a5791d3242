"""The store on a server of the Redis protocol (Valkey, Redis), which several machines share.

Every operation has a deadline. A server that misses one, or is gone, is not asked any more: the store in memory
answers, at once, until a probe in the background finds the server well again. So a dead one costs those who are waiting
one deadline, and a log line. An operation that was cut off may have been done there and be done here, too: a limit is
never more generous for it. What is remembered here meanwhile stays here.

Must never raise into a session, and never make one wait for longer than its deadline.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeVar

import trio

from smtproxy.session.records import Event, Journal
from smtproxy.stores import arithmetic, scripts
from smtproxy.stores.keys import LONGEST_TEXT, fitted
from smtproxy.stores.memory import MemoryStore
from smtproxy.stores.store import Kept, Kind, Rate, Record, Taken

T = TypeVar("T")

PROBE: Final = 2.0
"""Seconds for a new connection, with TLS and password. The probe on it has the deadline of an operation."""
SCAN: Final = 10.0
"""Seconds for a look at everything; people wait for that."""
BEAT: Final = 5.0
"""Seconds between two questions to a server that is well. They keep a connection open through a quiet night, too."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two probes; each pause is twice the one before."""
STEADY: Final = 60.0
"""Seconds after which a server that was well is probed soon again; else it would come and go every second."""
MOST_NOTES: Final = 10_000
"""Notes that wait to be sent; more are kept here."""
_LETTERS: Final = {Kind.LIMIT: "l", Kind.COUNTER: "c", Kind.TEXT: "t"}
_PREFIX: Final = "smtproxy:"


class Server(Protocol):
    """A connected server. What it raises is an Exception, and means that it failed."""

    async def run(self, script: str, name: str, arguments: Sequence[str]) -> Sequence[bytes]:
        """Run a script on one key."""
        ...

    async def names(self, prefix: str) -> list[str]:
        """Return all keys that begin so."""
        ...

    async def delete(self, names: Sequence[str]) -> int:
        """Delete keys, which all have one hash tag; return how many there were."""
        ...


Connect = Callable[[], AbstractAsyncContextManager[Server]]


class ValkeyStore:
    """As one worker uses it."""

    def __init__(self, connect: Connect, local: MemoryStore, journal: Journal, where: str, timeout: float) -> None:
        """Be on the server that `connect` leads to (`where`: its name for people), or else in memory.

        `timeout`: seconds that an operation may take.
        """
        self._connect = connect
        self._local = local
        self._journal = journal
        self._where = where
        self._timeout = timeout
        self._server: Server | None = None
        self._lost = self._noted = trio.Event()
        self._down_since: float | None = None
        self._takes: dict[tuple[str, Rate], float] = {}
        self._adds: dict[tuple[str, float], float] = {}
        self._puts: dict[str, tuple[str, float]] = {}

    @property
    def waits(self) -> bool:
        """Whether the server is asked; if it is down nobody waits."""
        return self._server is not None

    # Operations

    async def take(self, key: str, rate: Rate, cost: float = 1.0, *, charge: bool = True) -> Taken:
        """Take units if they can be had."""
        found = await self._ask(scripts.TAKE, Kind.LIMIT, key, _wish(rate, cost, "take" if charge else "look"))
        if found is None:
            return self._local.take_now(key, rate, cost, charge=charge)
        # The server has decided by the same arithmetic on the same numbers.
        return arithmetic.take(rate, float(found[0]), 0.0, cost)[0]

    async def add(self, key: str, amount: float, half_life: float) -> float:
        """Add to a counter."""
        found = await self._ask(
            scripts.COUNT, Kind.COUNTER, key, _written(amount, half_life, arithmetic.NOTHING, "add")
        )
        return self._local.add_now(key, amount, half_life) if found is None else float(found[0])

    async def count(self, key: str, half_life: float) -> float:
        """Return what a counter has now."""
        found = await self._ask(scripts.COUNT, Kind.COUNTER, key, _written(0.0, half_life, arithmetic.NOTHING, "look"))
        return self._local.count_now(key, half_life) if found is None else float(found[0])

    async def put(self, key: str, text: str, ttl: float, *, pinned: bool = False) -> bool:
        """Keep a text."""
        words = fitted(text, LONGEST_TEXT).decode()
        found = await self._ask(scripts.PUT, Kind.TEXT, key, _written(words, ttl, "1" if pinned else "0"))
        return self._local.put_now(key, text, ttl, pinned=pinned) if found is None else bool(found[0])

    async def get(self, key: str) -> Kept | None:
        """Return what was put."""
        found = await self._ask(scripts.READ, Kind.TEXT, key, ())
        if found is None:
            return self._local.get_now(key)
        record = _record(Kind.TEXT, found)
        return None if record is None else Kept(record.text, record.since, record.expires)

    async def forget(self, key: str) -> bool:
        """Forget all that is under a key, here as well."""
        here, names = self._local.forget_now(key), [_name(kind, key) for kind in Kind]
        there = await self._within(self._timeout, lambda server: server.delete(names))
        return here or bool(there)

    async def scan(self, prefix: str) -> list[tuple[str, Record]]:
        """Return all whose key begins so."""
        found = await self._within(SCAN, lambda server: _scan(server, prefix))
        return await self._local.scan(prefix) if found is None else found

    # Notes

    def note_take(self, key: str, rate: Rate, cost: float = 1.0) -> None:
        """Charge units after the fact."""
        if self._may_note():
            self._takes[key, rate] = self._takes.get((key, rate), 0.0) + cost
        else:
            self._local.note_take(key, rate, cost)

    def note_add(self, key: str, amount: float, half_life: float) -> None:
        """Add to a counter."""
        if self._may_note():
            self._adds[key, half_life] = self._adds.get((key, half_life), 0.0) + amount
        else:
            self._local.note_add(key, amount, half_life)

    def note_put(self, key: str, text: str, ttl: float) -> None:
        """Keep a text."""
        if self._may_note():
            self._puts[key] = text, ttl
        else:
            self._local.note_put(key, text, ttl)

    def _may_note(self) -> bool:
        if self._server is None or len(self._takes) + len(self._adds) + len(self._puts) >= MOST_NOTES:
            return False
        self._noted.set()
        return True

    async def _send_notes(self) -> None:
        """Send what was noted; what cannot be sent is noted here."""
        while True:
            await self._noted.wait()
            self._noted = trio.Event()
            takes, self._takes = self._takes, {}
            adds, self._adds = self._adds, {}
            puts, self._puts = self._puts, {}
            for (key, rate), cost in takes.items():
                if await self._ask(scripts.TAKE, Kind.LIMIT, key, _wish(rate, cost, "note")) is None:
                    self._local.note_take(key, rate, cost)
            for (key, half_life), amount in adds.items():
                await self.add(key, amount, half_life)
            for key, (text, ttl) in puts.items():
                await self.put(key, text, ttl)

    # The server

    async def run(self) -> None:
        """Keep a connection, and send what was noted."""
        self._noted = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_notes)
            pause = FIRST_PAUSE
            while True:
                lasted = await self._connected()
                pause = FIRST_PAUSE if lasted > STEADY else pause
                await trio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _connected(self) -> float:
        """Connect, and be there until the server fails; return the seconds for which it was well."""
        self._lost, since = trio.Event(), trio.current_time()
        well = 0.0
        try:
            with trio.move_on_after(PROBE) as scope:
                async with self._connect() as server:
                    await server.run(scripts.READ, _PREFIX, ())  # connects
                    with trio.fail_after(self._timeout):
                        await server.run(scripts.READ, _PREFIX, ())
                    scope.deadline = float("inf")
                    since = trio.current_time()
                    self._up(server)
                    await self._watch()
                    well = trio.current_time() - since
                    # It is closed, and may not answer to that.
                    scope.deadline = trio.current_time() + PROBE
            reason = "timeout"
        except Exception as error:  # noqa: BLE001 - whatever a library says: the server is not there
            reason = _reason(error)
        self._down(reason)
        return well

    async def _watch(self) -> None:
        """Return when the server has failed; ask it now and then, so that it is not a session that finds out."""
        while True:
            with trio.move_on_after(BEAT):
                await self._lost.wait()
                return
            await self._ask(scripts.READ, Kind.TEXT, "", ())

    async def _ask(self, script: str, kind: Kind, key: str, arguments: Sequence[str]) -> Sequence[bytes] | None:
        """Run a script on the server; None: it is not there."""
        return await self._within(self._timeout, lambda server: server.run(script, _name(kind, key), arguments))

    async def _within(self, seconds: float, ask: Callable[[Server], Awaitable[T]]) -> T | None:
        server = self._server
        if server is None:
            return None
        try:
            with trio.fail_after(seconds):
                return await ask(server)
        except Exception as error:  # noqa: BLE001 - as above
            if self._server is server:
                self._down(_reason(error))
        return None

    def _up(self, server: Server) -> None:
        self._server = server
        if self._down_since is not None:
            passed = round(trio.current_time() - self._down_since, 3)
            self._down_since = None
            self._journal.record(Event.STORE_UP, {"store": "valkey", "where": self._where, "down": passed})

    def _down(self, reason: str) -> None:
        self._server = None
        self._lost.set()
        if self._down_since is None:
            self._down_since = trio.current_time()
            self._journal.record(Event.STORE_DOWN, {"store": "valkey", "where": self._where, "reason": reason})


async def _scan(server: Server, prefix: str) -> list[tuple[str, Record]]:
    found = []
    letters = {letter: kind for kind, letter in _LETTERS.items()}
    for name in await server.names(f"{_PREFIX}{{{fitted(prefix).decode()}"):
        key, _, letter = name.removeprefix(f"{_PREFIX}{{").rpartition("}:")
        if letter in letters:
            kind = letters[letter]
            record = _record(kind, await server.run(scripts.READ, name, ()))
            if record is not None:
                found.append((key, record))
    return sorted(found, key=lambda one: (one[0], one[1].kind))


def _record(kind: Kind, found: Sequence[bytes]) -> Record | None:
    """Read what the server keeps."""
    now, kept, left = float(found[0]), found[1].decode(errors="replace"), float(found[2])
    if left < 0:
        return None
    expires, words = now + left / 1000, kept.split(" ", 2)
    match kind:
        case Kind.LIMIT:
            number = arithmetic.level(float(words[0]), now, float(words[1]))
            return Record(kind, "", number, 0.0, expires, pinned=False)
        case Kind.COUNTER:
            value, at, half_life = map(float, words)
            number = value * 0.5 ** (max(now - at, 0.0) / half_life)
            return Record(kind, "", number, at, expires, pinned=False)
        case Kind.TEXT:
            return Record(kind, words[2], 0.0, float(words[0]), expires, pinned=words[1] == "1")


def _name(kind: Kind, key: str) -> str:
    """Return the key there. The braces keep all kinds of a key in one slot of a cluster."""
    return f"{_PREFIX}{{{fitted(key).decode()}}}:{_LETTERS[kind]}"


def _wish(rate: Rate, cost: float, mode: str) -> tuple[str, ...]:
    return _written(rate.interval, rate.burst * rate.interval, arithmetic.SLACK * rate.interval, cost, mode)


def _written(*values: float | str) -> tuple[str, ...]:
    """Return values as a script reads them, with all their digits."""
    return tuple(value if isinstance(value, str) else repr(float(value)) for value in values)


def _reason(error: Exception) -> str:
    """Say what happened, in one line."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, trio.TooSlowError):
        return "timeout"
    return f"{type(error).__name__}: {error}"[:200]
