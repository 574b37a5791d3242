"""Who has had mail delivered before: clients by network, and proven domains; and who has waited for a banner.

It learns from outcomes and decides nothing. The governor asks it whether a check suddenly refuses senders with a good
history; a banner is not held back for them. What is here must never let mail pass: forgetting it changes no verdict.
Where it is kept is not its matter: in the store, so that all workers know it, and it outlasts a restart.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Protocol

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
_DELIVERED, _PATIENT = "delivered", "patient"


class Remembering(Protocol):
    """Where it is kept. Nothing here waits, and nothing raises."""

    def add(self, purpose: str, name: str, half_life: float) -> None:
        """Add 1 to what is counted under a name; it halves in so many seconds."""

    def count(self, purpose: str, name: str, half_life: float) -> float:
        """Return what has been counted."""

    def mark(self, purpose: str, name: str, seconds: float) -> None:
        """Keep in mind for so long that something was so."""

    def marked(self, purpose: str, name: str) -> bool:
        """Return whether it was."""

    def fetch(self, purpose: str, name: str, half_life: float) -> None:
        """Begin to find out what other machines have counted, if there are any."""

    def fetch_mark(self, purpose: str, name: str, seconds: float) -> None:
        """Begin to find out whether other machines have marked it; it is kept in mind for so long then."""


class Forgetful:
    """Nowhere: for sessions that are only thought of."""

    def add(self, purpose: str, name: str, half_life: float) -> None:
        """Forget it."""

    def count(self, _purpose: str, _name: str, _half_life: float) -> float:
        """Nothing is known."""
        return 0.0

    def mark(self, purpose: str, name: str, seconds: float) -> None:
        """Forget it."""

    def marked(self, _purpose: str, _name: str) -> bool:
        """Nothing is known."""
        return False

    def fetch(self, purpose: str, name: str, half_life: float) -> None:
        """There is nobody else."""

    def fetch_mark(self, purpose: str, name: str, seconds: float) -> None:
        """There is nobody else."""


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
        for name in _names(client, domains):
            self._kept.add(_DELIVERED, name, HALF_LIFE)

    def good(self, client: str, domains: Iterable[str]) -> bool:
        """Whether this client, or one of the domains, has a good history."""
        return any(self._kept.count(_DELIVERED, name, HALF_LIFE) >= GOOD for name in _names(client, domains))

    def meet(self, client: str, *, waits: bool) -> None:
        """A client has come: begin to find out what other machines know of it; `waits`: banners are held back here."""
        for name in _names(client, ()):
            self._kept.fetch(_DELIVERED, name, HALF_LIFE)
        if not waits:
            return
        with suppress(ValueError):
            self._kept.fetch_mark(_PATIENT, str(address_of(client)), PATIENCE_LASTS)

    def hear_of(self, domain: str) -> None:
        """A sender's domain was named: the same, in case it will be proven."""
        if domain:
            self._kept.fetch(_DELIVERED, domain, HALF_LIFE)


def _names(client: str, domains: Iterable[str]) -> Iterator[str]:
    yield from domains
    with suppress(ValueError):
        yield _network(client)


@lru_cache(maxsize=4096)
def _network(client: str) -> str:
    """Return the network of a client. Raises ValueError. Remembered: it is asked for some five times in a session."""
    return NETWORK.named(address_of(client))
