"""How many connections one client may have: at once, and new ones a minute. Counters, and decisions on them.

The minute is a bucket that leaks (GCRA): a client may open all its connections of a minute in one moment, and then as
many as have leaked since. One number a client is all that takes, and there is no moment at which all counters start
anew. A connection that is refused counts for nothing: else a client that tries again and again would never get in.

Whoever is counted is bounded, too: a client that is gone and whose bucket is empty is forgotten, and when the table is
full all the same, new clients are let in uncounted. An attacker with that many networks needs no quota to be ignored.

All workers count in one table (`client_table.py`), so a client has its quota once, whichever workers it meets.
"""

from dataclasses import dataclass
from ipaddress import ip_network

from smtproxy.policy.client_table import ClientTable, octets
from smtproxy.session.answers import Own
from smtproxy.session.networks import ONE_ADDRESS, Address, Grouping, Network, within
from smtproxy.wire.values import value

MINUTE = 60.0
THIS_MACHINE = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, slots=True)
class QuotaSettings:
    """The bounds, and whom they are not for."""

    connections: int = 50
    """At once. Postfix smtpd_client_connection_count_limit = 50, Exchange MaxInboundConnectionPerSource = 20"""
    connections_per_minute: int = 600
    """Ten a second; a large sender stays far below, and most servers do not count them at all."""
    grouping: Grouping = ONE_ADDRESS
    exempt: tuple[Network, ...] = THIS_MACHINE
    most_clients: int = 100_000


@value
class Excess:
    """A quota that is used up."""

    says: Own
    reason: str
    client: str
    """Address or network that is counted as one client."""
    limit: int


class Quotas:
    """The connections of all clients, as one worker sees them."""

    __slots__ = ("_inside", "_offset", "_settings", "_table")

    def __init__(
        self, settings: QuotaSettings, table: ClientTable | None = None, worker: int = 0, offset: float = 0.0
    ) -> None:
        """Count in a table (None: nobody else does) as one of its workers.

        `offset` seconds are to be added to a time of this worker to get one that all workers agree on.
        """
        self._settings = settings
        self._table = alone(settings.most_clients) if table is None else table
        self._inside = self._table.row(worker)
        self._offset = offset

    def enter(self, address: Address, now: float) -> int | Excess | None:
        """Let a connection in, and return what `leave` wants to know at its end; None: it is not counted.

        An Excess says that it is not let in. `now`: seconds on a clock that only goes forward.
        """
        settings, table, now = self._settings, self._table, now + self._offset
        if within(address, settings.exempt):
            return None
        client = settings.grouping.of(address)
        drop = MINUTE / settings.connections_per_minute
        with table.lock:
            entry = table.find(client)
            if entry is not None and table.connections(entry) >= settings.connections:
                return self._excess(Own.TOO_MANY_CONNECTIONS, "connections", address, settings.connections)
            empty_at = max(now if entry is None else table.empty_at[entry], now) + drop
            if empty_at - now > MINUTE + drop / 10:  # 600 tenths of a second are no minute to the last bit
                return self._excess(Own.CONNECTS_TOO_OFTEN, "rate", address, settings.connections_per_minute)
            if entry is None:
                entry = table.admit(client, now)
            if entry is not None:
                table.empty_at[entry] = empty_at
                self._inside[entry] += 1
        return entry

    def leave(self, entry: int) -> None:
        """A connection that was let in has ended. No lock: the count is this worker's own."""
        self._inside[entry] -= 1

    @property
    def inside(self) -> int:
        """Connections of this worker that are counted."""
        return sum(self._inside)

    def _excess(self, says: Own, reason: str, address: Address, limit: int) -> Excess:
        return Excess(says, reason, self._settings.grouping.named(address), limit)


def alone(clients: int) -> ClientTable:
    """Return a table for one worker."""
    return ClientTable(memoryview(bytearray(octets(clients, 1))), clients, 1)
