"""A directory, asked by LDAP: Active Directory's domain controllers and global catalogs, or another one.

Servers are tried in their order. Everything is read by a process of its own, which ends with that; small questions are
asked by one that stays. A server that failed is left alone for a while, and the next one is asked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import trio

from smtproxy.lookups.recipients.accepted_domains import AcceptedDomains, configuration_server
from smtproxy.lookups.recipients.changes import Changes, Mark
from smtproxy.lookups.recipients.connecting import DirectorySettings, password
from smtproxy.lookups.recipients.entries import RefusedError, SourceError
from smtproxy.lookups.recipients.exchange import Item
from smtproxy.lookups.recipients.filters import finding, seeing
from smtproxy.lookups.recipients.ldap_client import LdapClient
from smtproxy.lookups.recipients.spelling import Address

REST: Final = 30.0
"""Seconds for which a server that failed is not asked small questions."""
REFUSED_REST: Final = 300.0
"""The same where it refused name or password: a few more attempts, and the directory locks the account."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All objects that may be recipients."""

    items: list[Item]
    mark: Mark | None = None
    """When, so that changes can be asked for; None: the server has no such thing."""


class Directory(Protocol):
    """What a source asks. All of it raises SourceError; RefusedError where name or password is wrong."""

    async def read(self) -> Reading:
        """Read everything."""

    async def changes(self, mark: Mark) -> Changes | None:
        """Return what has changed; None: everything has to be read."""

    async def find(self, addresses: Sequence[Address]) -> list[Item]:
        """Return the objects that have one of these addresses, within bounds."""

    async def look(self) -> None:
        """See that it can be asked."""

    def trouble(self) -> str:
        """Say why it cannot be asked now; empty: it can."""

    def wake(self) -> None:
        """Ask servers again that failed."""

    async def accepted_domains(self) -> AcceptedDomains:
        """Return the domains that it accepts."""

    async def close(self) -> None:
        """Let go of what is open."""


class Client(Protocol):
    """What asks one server: `LdapClient`."""

    async def ask(self, do: str, server: str, limit: float, argument: object = None) -> list[dict[str, Any]]:
        """Ask; return the pieces of the answer. Raises SourceError."""

    async def close(self) -> None:
        """End."""


@dataclass(frozen=True, slots=True)
class _Rest:
    until: float
    reason: str


class LdapDirectory:
    """One directory, asked by LDAP."""

    def __init__(self, settings: DirectorySettings, client: Callable[[DirectorySettings], Client] = LdapClient) -> None:
        """Ask nobody yet."""
        self._settings = settings
        self._make = client
        self._client = client(settings)
        self._turn = trio.Lock()
        self._resting: dict[str, _Rest] = {}

    async def read(self) -> Reading:
        """Read everything, from the first server that gives it. Raises SourceError."""
        pieces = await self._alone("read", self._settings.servers)
        items = [item for piece in pieces for item in _items(piece["items"])]
        mark = pieces[-1]["mark"] if pieces else None
        self.wake()
        return Reading(items, None if mark is None else Mark(**mark))

    async def accepted_domains(self) -> AcceptedDomains:
        """Return the domains that Exchange accepts. Raises SourceError."""
        servers = dict.fromkeys(map(configuration_server, self._settings.servers))
        domains: AcceptedDomains = (await self._alone("domains", tuple(servers)))[0]["domains"]
        return domains

    async def changes(self, mark: Mark) -> Changes | None:
        """Return what has changed since, at the same server; None: everything has to be read. Raises SourceError."""
        # No longer than a question about an address: those wait behind it.
        pieces = await self._asked("changes", self._settings.ask_timeout, asdict(mark), (mark.server,))
        if not pieces:
            return None
        items, touched = _items(pieces[0]["items"]), _items(pieces[0]["touched"])
        return Changes(items, touched, Mark(**pieces[0]["mark"]))

    async def find(self, addresses: Sequence[Address]) -> list[Item]:
        """Return the objects that have one of these addresses. Raises SourceError, within `ask_timeout`."""
        whole = self._settings.filter
        question = [finding(whole, addresses), seeing(whole)]
        pieces = await self._asked("find", self._settings.ask_timeout, question, self._settings.servers)
        return _items(pieces[0]["items"])

    async def look(self) -> None:
        """See that it can be asked, and shows a recipient. Raises SourceError, within `ask_timeout`."""
        text = seeing(self._settings.filter)
        await self._asked("look", self._settings.ask_timeout, text, self._settings.servers)

    def trouble(self) -> str:
        """Say why it cannot be asked about an address now; empty: it can."""
        now = trio.current_time()
        rests = [self._resting.get(server) for server in self._settings.servers]
        if any(rest is None or rest.until <= now for rest in rests):
            return ""
        return "; ".join(rest.reason for rest in rests if rest is not None)

    def wake(self) -> None:
        """Ask servers again that are left alone as they failed."""
        self._resting.clear()

    async def close(self) -> None:
        """End the process that stays."""
        await self._client.close()

    async def _alone(self, do: str, servers: Sequence[str]) -> list[dict[str, Any]]:
        """Ask one server after the other, by a process that ends with that, until one answers."""
        password(self._settings.password_file)  # without it no server needs to be asked
        troubles, refused = list[str](), False
        client = self._make(self._settings)
        try:
            for server in servers:
                try:
                    return await client.ask(do, server, self._settings.timeout)
                except SourceError as error:
                    troubles.append(f"{server}: {error}")
                    refused = refused or isinstance(error, RefusedError)
        finally:
            await client.close()
        raise (RefusedError if refused else SourceError)("; ".join(troubles))

    async def _asked(self, do: str, limit: float, argument: object, servers: Sequence[str]) -> list[dict[str, Any]]:
        """Ask the first server that answers, within so many seconds."""
        due = trio.current_time() + limit
        with trio.move_on_after(limit / 2) as waiting:
            await self._turn.acquire()
        if waiting.cancelled_caught:
            raise SourceError("too many questions at once")
        try:
            return await self._first(do, due, argument, servers)
        finally:
            self._turn.release()

    async def _first(self, do: str, due: float, argument: object, servers: Sequence[str]) -> list[dict[str, Any]]:
        now, troubles = trio.current_time(), list[str]()
        able = [server for server in servers if server not in self._resting or self._resting[server].until <= now]
        for number, server in enumerate(able):
            part = max(0.1, (due - trio.current_time()) / (len(able) - number))
            try:
                answer = await self._client.ask(do, server, part, argument)
            except SourceError as error:
                reason = f"{server}: {error}"
                rest = REFUSED_REST if isinstance(error, RefusedError) else REST
                self._resting[server] = _Rest(trio.current_time() + rest, reason)
                troubles.append(reason)
            else:
                self._resting.pop(server, None)
                return answer
        raise SourceError("; ".join(troubles) or "; ".join(self._resting[server].reason for server in servers))


def _items(plain: Sequence[tuple[str, Mapping[str, Sequence[str]]]]) -> list[Item]:
    return [Item(dn, attributes) for dn, attributes in plain]
