"""Limits: takes from the store what a session is about to use, and says which of them are exceeded.

Taken is once for each connection, MAIL or RCPT, when the fact about it is learned; what is known only afterwards is
charged then, and the fact is a look. Must take nothing before all is known that the keys are made of: an inquiry that
was not at hand is made once more. A subject that is not known (no confirmed reverse name, SPF that does not pass) is
held to no limit. The store never raises, and never waits for longer than its own deadline.

Where delays double the bucket in the store is larger than the limit by what is charged beyond it: so how far it is
exceeded is known to all workers, and each unit that leaks halves the delay again.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, Final

from smtproxy.lookups.dmarc import organisation
from smtproxy.network.inquiry import Inquiry, Lookup, NotAtHand
from smtproxy.policy.evidence import Fact, Known
from smtproxy.policy.exemptions import is_from
from smtproxy.policy.facts import REVERSE_NAME, SPF, Exceeded, ExceededLimit, Key, ReverseName, Spf
from smtproxy.policy.rate_limits import PLACES, Of, Per, RateLimit, Subject
from smtproxy.session.networks import Grouping, address_of
from smtproxy.stores.arithmetic import SLACK
from smtproxy.stores.keys import HASHED, compose, private
from smtproxy.stores.store import Rate, Store, Taken
from smtproxy.wire.paths import Path, domain_key

_NEEDS: Final[Mapping[Per, Key[Any]]] = {Per.REVERSE_NAME: REVERSE_NAME, Per.PROVEN_DOMAIN: SPF}
"""The fact that says who is counted."""
_BY_ADDRESS: Final = frozenset({Per.CLIENT, Per.NETWORK})
_NONE = Known(Exceeded())


class RateLimits:
    """All limits of a configuration, as one worker takes from them."""

    __slots__ = ("_afterwards", "_all", "_by_fact", "_rates", "_secret", "_store")

    def __init__(self, limits: Iterable[RateLimit], store: Store, secret: bytes | None) -> None:
        """Count in a store; `secret`: for the names in its keys, None: as they are."""
        self._store = store
        self._secret = secret
        self._by_fact: dict[Key[Exceeded], list[RateLimit]] = {}
        self._afterwards: dict[Of, list[RateLimit]] = {}
        self._rates: dict[str, Rate] = {}
        self._all = tuple(limits)
        for limit in self._all:
            place = PLACES[limit.of]
            self._rates[limit.name] = Rate(limit.amount, limit.period, limit.burst + limit.beyond)
            self._by_fact.setdefault(place.fact, []).append(limit)
            if place.afterwards:
                self._afterwards.setdefault(limit.of, []).append(limit)

    @property
    def lookups(self) -> tuple[Lookup[Exceeded], ...]:
        """One for each fact that a limit needs."""
        return tuple(Lookup(key, partial(self._find, limits)) for key, limits in self._by_fact.items())

    def charge(self, of: Of, subject: Subject, cost: float) -> None:
        """Take what was used already from the limits of its kind; nobody waits for it."""
        for limit in self._afterwards.get(of, ()):
            key = self._key(limit, subject)
            if key is not None:
                self._store.note_take(key, self._rates[limit.name], cost)

    # What an administrator asks

    async def standing(self, name: str) -> list[tuple[str, float, Taken]]:
        """Return for each limit that has counted somebody its name, its burst and what is left; `name`: an address, a
        network, a domain, or what stands for one where names are not said.
        """
        found = []
        for limit, key in self._counted(name):
            taken, _ = await self._take(limit, key, charge=False)
            if taken.left + 1 < limit.burst or not taken.allowed:
                found.append((limit.name, limit.burst, taken))
        return found

    async def exceeded(self) -> list[tuple[str, str]]:
        """Return who gets nothing from which limit at the moment: name and limit. It looks at all of them."""
        found = []
        for limit in self._all:
            begin = compose("limit", limit.name, "")
            for key, record in await self._store.scan(begin):
                if record.number + 1 > limit.burst + SLACK:
                    found.append((key.removeprefix(begin), limit.name))
        return found

    async def forgive(self, name: str) -> list[str]:
        """Give back to somebody all that was taken; return the names of the limits that had counted him."""
        return [limit.name for limit, key in self._counted(name) if await self._store.forget(key)]

    def _counted(self, name: str) -> Iterator[tuple[RateLimit, str]]:
        for limit in self._all:
            who = (_named(limit.grouping, name) if limit.per in _BY_ADDRESS else None) or name
            yield limit, self._composed(limit, who)

    async def _find(self, limits: list[RateLimit], inquiry: Inquiry) -> Fact[Exceeded]:
        """Take one unit of each limit. One that refuses keeps its own; the others are charged all the same."""
        if inquiry.quick and self._store.waits:
            raise NotAtHand
        facts: dict[str, Fact[Any]] = {}
        for limit in limits:
            needed = _NEEDS.get(limit.per)
            if needed is not None and needed.name not in facts:
                facts[needed.name] = await inquiry.fact(needed)
        subject = Subject(inquiry.client, inquiry.listener, inquiry.sender, inquiry.recipient, facts)
        exceeded = []
        for limit in limits:
            key = self._key(limit, subject)
            if key is None:
                continue
            taken, excess = await self._take(limit, key, charge=not PLACES[limit.of].afterwards)
            if excess:
                exceeded.append(ExceededLimit(limit.name, round(taken.wait, 1), excess))
        return Known(Exceeded(tuple(exceeded))) if exceeded else _NONE

    async def _take(self, limit: RateLimit, key: str, *, charge: bool) -> tuple[Taken, int]:
        """Ask for one unit; return what became of it, and how many units the limit is exceeded by; 0: it is not."""
        rate = self._rates[limit.name]
        taken = await self._store.take(key, rate, charge=charge)
        if not limit.beyond:
            return taken, 0 if taken.allowed else 1
        above = limit.beyond - taken.left + (0 if taken.allowed else 1)
        if above <= SLACK:
            return Taken(allowed=True, wait=0.0, left=max(-above, 0.0)), 0
        return Taken(allowed=False, wait=above * rate.interval, left=max(1 - above, 0.0)), math.ceil(above - SLACK)

    def _key(self, limit: RateLimit, subject: Subject) -> str | None:
        """Return under which key somebody is counted; None: he is not."""
        if limit.exempt and is_from(subject.client, limit.exempt):
            return None
        who = _WHO[limit.per](limit, subject)
        return None if who is None else self._composed(limit, who)

    def _composed(self, limit: RateLimit, who: str) -> str:
        return compose("limit", limit.name, who if who.startswith(HASHED) else private(who, self._secret))


def _client(limit: RateLimit, subject: Subject) -> str | None:
    return _named(limit.grouping, subject.client)


@lru_cache(maxsize=4096)
def _named(grouping: Grouping, client: str) -> str | None:
    try:
        return grouping.named(address_of(client))
    except ValueError:  # its balancer did not say who it is
        return None


def _reverse_name(_: RateLimit, subject: Subject) -> str | None:
    fact: Fact[ReverseName] | None = subject.facts.get(REVERSE_NAME.name)
    if not isinstance(fact, Known) or not fact.value.confirmed:
        return None
    return organisation(fact.value.confirmed) or fact.value.confirmed


def _sender_domain(_: RateLimit, subject: Subject) -> str | None:
    return None if subject.sender is None else subject.sender.domain_key or None


def _proven_domain(_: RateLimit, subject: Subject) -> str | None:
    fact: Fact[Spf] | None = subject.facts.get(SPF.name)
    if not isinstance(fact, Known) or fact.value.result != "pass":
        return None
    return domain_key(fact.value.domain) or None


def _recipient(_: RateLimit, subject: Subject) -> str | None:
    return None if subject.recipient is None else _mailbox(subject.recipient)


def _mailbox(path: Path) -> str:
    return f"{path.mailbox_local.casefold()}@{path.domain_key}"


_WHO: Final[Mapping[Per, Callable[[RateLimit, Subject], str | None]]] = {
    Per.CLIENT: _client,
    Per.NETWORK: _client,
    Per.REVERSE_NAME: _reverse_name,
    Per.SENDER_DOMAIN: _sender_domain,
    Per.PROVEN_DOMAIN: _proven_domain,
    Per.RECIPIENT: _recipient,
    Per.LISTENER: lambda _, subject: subject.listener,
    Per.ALL: lambda _, __: "",
}
"""Under which name somebody is counted; None: he is not known."""
