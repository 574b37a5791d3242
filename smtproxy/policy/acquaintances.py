"""Who has had mail delivered before: clients by network, and proven domains. Bounded, in memory, for one process.

It learns from outcomes and decides nothing. The governor asks it whether a check suddenly refuses senders with a good
history; a banner is not held back for them. What is here must never let mail pass: forgetting it changes no verdict.
"""

from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from smtproxy.session.networks import Address, Grouping, address_of

MOST = 50_000
"""Entries; some 10 MB. A server with a thousand correspondents a day remembers them for weeks."""
GOOD_AFTER = 3
"""Deliveries that make a history."""
LASTS = 30 * 86400.0
"""Seconds. Postfix postscreen_dnsbl_max_ttl and greylists remember for a day to 36 days (PEERS section 2.1)."""
PATIENCE_LASTS = 86400.0
"""Seconds. Postfix postscreen_greet_ttl = 1d"""
NETWORK = Grouping(24, 64)
"""One sender may have many addresses beside each other."""


@dataclass(slots=True)
class _Entry:
    deliveries: int
    last: float


class Acquaintances:
    """Senders that are known."""

    __slots__ = ("_entries", "_most", "_patient")

    def __init__(self, most: int = MOST) -> None:
        """Know nobody yet."""
        self._entries: OrderedDict[int | str, _Entry] = OrderedDict()
        self._patient: OrderedDict[Address, float] = OrderedDict()
        """Clients that waited for a banner that was held back -> when they did last."""
        self._most = most

    def waited(self, client: str, now: float) -> None:
        """A client has waited for its banner."""
        with suppress(ValueError):
            address = address_of(client)
            self._patient[address] = now
            self._patient.move_to_end(address)
        while len(self._patient) > self._most:
            self._patient.popitem(last=False)

    def patient(self, client: str, now: float) -> bool:
        """Whether this client has waited for its banner lately: it need not do it again."""
        try:
            last = self._patient.get(address_of(client))
        except ValueError:
            return False
        return last is not None and now - last < PATIENCE_LASTS

    def delivered(self, client: str, domains: Iterable[str], now: float) -> None:
        """A message of this client, proven to be from these domains, was accepted by the backend."""
        for name in _names(client, domains):
            entry = self._entries.get(name)
            if entry is None or now - entry.last > LASTS:
                self._entries[name] = _Entry(1, now)
            else:
                entry.deliveries += 1
                entry.last = now
            self._entries.move_to_end(name)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def good(self, client: str, domains: Iterable[str], now: float) -> bool:
        """Whether this client, or one of the domains, has a good history."""
        found = (self._entries.get(name) for name in _names(client, domains))
        return any(one is not None and one.deliveries >= GOOD_AFTER and now - one.last <= LASTS for one in found)

    def __len__(self) -> int:
        return len(self._entries)


def _names(client: str, domains: Iterable[str]) -> list[int | str]:
    names: list[int | str] = [*domains]
    with suppress(ValueError):  # a client whose balancer did not say who it is
        names.append(NETWORK.of(address_of(client)))
    return names
