"""Who has had mail delivered before: clients by network, and proven domains; and who has waited for a banner.

It learns from outcomes and decides nothing. The governor asks it whether a check suddenly refuses senders with a good
history; a banner is not held back for them. What is here must never let mail pass: forgetting it changes no verdict.
Where it is kept is not its matter: in the store, so that all workers know it, and it outlasts a restart.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache

from smtproxy.policy.remembering import Remembering
from smtproxy.session.networks import Grouping, address_of

GOOD = 2.1
"""Deliveries that make a history, those of long ago counted less: three in a month."""
HALF_LIFE = 60 * 86400.0
"""Seconds in which a delivery loses half of its weight: three last for a month, ten for five. Postfix
postscreen_dnsbl_max_ttl and greylists remember for a day to 36 days (PEERS section 2.1)."""
PATIENCE_LASTS = 86400.0
"""Seconds. Postfix postscreen_greet_ttl = 1d"""
NETWORK = Grouping(24, 64)
"""One sender may have many addresses beside each other."""
HOST = Grouping(32, 64)
"""One client: an address of IPv4, or the least that a customer gets of IPv6."""
DELIVERED = "delivered"
_PATIENT = "patient"


class Acquaintances:
    """Senders that are known."""

    __slots__ = ("_kept",)

    def __init__(self, kept: Remembering) -> None:
        self._kept = kept

    def waited(self, client: str) -> None:
        """A client has waited for its banner."""
        with suppress(ValueError):
            self._kept.mark(_PATIENT, str(address_of(client)), PATIENCE_LASTS)

    def patient(self, client: str) -> bool:
        """Whether this client has waited for its banner lately: it need not do it again."""
        try:
            return self._kept.marked(_PATIENT, str(address_of(client)))
        except ValueError:  # its balancer did not say who it is
            return False

    def delivered(self, client: str, domains: Iterable[str]) -> None:
        """A message of this client, proven to be from these domains, was accepted by the backend."""
        for name in (*domains, *hosts(client)):
            self._kept.add(DELIVERED, name, HALF_LIFE)

    def good(self, client: str, domains: Iterable[str]) -> bool:
        """Whether this client, or one of the domains, has a good history."""
        return any(self._kept.count(DELIVERED, name, HALF_LIFE) >= GOOD for name in _names(client, domains))

    def meet(self, client: str, *, waits: bool) -> None:
        """A client has come: begin to find out what other machines know of it; `waits`: banners are held back here."""
        for name in _names(client, ()):
            self._kept.fetch(DELIVERED, name, HALF_LIFE)
        if not waits:
            return
        with suppress(ValueError):
            self._kept.fetch_mark(_PATIENT, str(address_of(client)), PATIENCE_LASTS)

    def hear_of(self, domain: str) -> None:
        """A sender's domain was named: the same, in case it will be proven."""
        if domain:
            self._kept.fetch(DELIVERED, domain, HALF_LIFE)


def _names(client: str, domains: Iterable[str]) -> Iterator[str]:
    yield from domains
    yield from hosts(client)[-1:]


@lru_cache(maxsize=4096)
def hosts(client: str) -> tuple[str, ...]:
    """Return the names under which something is counted: of a client alone, and last of its network, if that is more.

    Nothing for a client that its balancer did not name. Remembered: it is asked for some five times in a session.
    """
    try:
        address = address_of(client)
    except ValueError:
        return ()
    return tuple(dict.fromkeys((HOST.named(address), NETWORK.named(address))))
