"""How many connections one client may have: at once, and new ones a minute. Counters, and decisions on them.

The minute is a bucket that leaks (GCRA): a client may open all its connections of a minute in one moment, and then as
many as have leaked since. One number a client is all that takes, and there is no moment at which all counters start
anew. A connection that is refused counts for nothing: else a client that tries again and again would never get in.

Whoever is counted is bounded, too: a client that is gone and whose bucket is empty is forgotten, and when the table is
full all the same, new clients are let in uncounted. An attacker with that many networks needs no quota to be ignored.
"""

from dataclasses import dataclass
from ipaddress import ip_network

from smtproxy.session.answers import Own
from smtproxy.session.networks import ONE_ADDRESS, Address, Grouping, Network, within
from smtproxy.wire.values import value

MINUTE = 60.0
_FEW = 256
"""Buckets that are not worth looking through for empty ones."""
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
    """The connections of all clients of a process."""

    __slots__ = ("_empty_at", "_look_again", "_open", "_settings", "_worth_a_look")

    def __init__(self, settings: QuotaSettings) -> None:
        """Count nobody yet."""
        self._settings = settings
        self._open: dict[int, int] = {}
        """Client -> its connections, never 0."""
        self._empty_at: dict[int, float] = {}
        """Client -> when its bucket will have leaked empty."""
        self._worth_a_look = _FEW
        self._look_again = 0.0

    def enter(self, address: Address, now: float) -> int | Excess | None:
        """Let a connection in, and return what `leave` wants to know at its end; None: it is not counted.

        An Excess says that it is not let in. `now`: seconds on a clock that only goes forward.
        """
        settings = self._settings
        if within(address, settings.exempt):
            return None
        client = settings.grouping.of(address)
        already = self._open.get(client, 0)
        if already >= settings.connections:
            return self._excess(Own.TOO_MANY_CONNECTIONS, "connections", address, settings.connections)
        drop = MINUTE / settings.connections_per_minute
        empty_at = max(self._empty_at.get(client, now), now) + drop
        if empty_at - now > MINUTE + drop / 10:  # 600 tenths of a second are no minute to the last bit
            return self._excess(Own.CONNECTS_TOO_OFTEN, "rate", address, settings.connections_per_minute)
        if client not in self._empty_at and not self._has_room(now):
            return None
        self._empty_at[client] = empty_at
        self._open[client] = already + 1
        return client

    def leave(self, client: int) -> None:
        """A connection that was let in has ended."""
        left = self._open[client] - 1
        if left:
            self._open[client] = left
        else:
            del self._open[client]

    def __len__(self) -> int:
        """Count the clients that are remembered."""
        return len(self._empty_at.keys() | self._open.keys())

    def _excess(self, says: Own, reason: str, address: Address, limit: int) -> Excess:
        return Excess(says, reason, self._settings.grouping.named(address), limit)

    def _has_room(self, now: float) -> bool:
        """Forget empty buckets whenever their table has doubled, but when it is full at most once a second."""
        buckets, most = self._empty_at, self._settings.most_clients
        if len(buckets) >= min(self._worth_a_look, most) and now >= self._look_again:
            self._empty_at = buckets = {client: at for client, at in buckets.items() if at > now}
            self._worth_a_look = 2 * len(buckets) + _FEW
            self._look_again = now + 1.0 if len(buckets) >= most else now
        return len(buckets) < most
