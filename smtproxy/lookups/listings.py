"""What lists of the DNS say of the client's address and name, of its hello, and of the sender's domain. RFC 5782

Lists are asked all at once, and one that is slow leaves only itself unknown. What a list says counts only as far as its
fuse lets it (lookups/fuse.py), and is called by the list's name in the configuration: its zone may hold a secret key.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

import trio

from smtproxy.lookups.answer_filter import EVERY_ANSWER, AnswerFilter
from smtproxy.lookups.fuse import ADDRESSES, DOMAINS, OFF, Fuse, Points, fault, query_name
from smtproxy.network.dns.answers import Status
from smtproxy.network.dns.resolver import CachingResolver
from smtproxy.network.inquiry import Inquiry, Lookup, NotAtHand
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import (
    LISTED_CLIENT,
    LISTED_HELLO,
    LISTED_REVERSE_NAME,
    LISTED_SENDER,
    REVERSE_NAME,
    Key,
    Listed,
    Listings,
)
from smtproxy.session.networks import LOCAL, address_of
from smtproxy.session.records import Journal
from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.paths import domain_key

PATIENCE = 3.0
"""Seconds for one list. postscreen_dnsbl_timeout is 10 s; here a client waits, and what comes later serves the next."""


@hashed_by_identity
class Subject(Enum):
    """What a list is asked about."""

    CLIENT = "client"
    REVERSE_NAME = "reverse_name"
    HELLO = "hello"
    SENDER = "sender"


@dataclass(frozen=True, slots=True)
class DnsList:
    """A list as configured."""

    name: str
    zone: str
    subjects: frozenset[Subject] = frozenset({Subject.CLIENT})
    answers: tuple[AnswerFilter, ...] = (EVERY_ANSWER,)
    addresses: Points = ADDRESSES
    """Test points for a client's address."""
    domains: Points = DOMAINS
    """For everything else."""


async def _client(inquiry: Inquiry) -> str | Unknown:
    if not inquiry.client:
        return Unknown("no_client")
    address = address_of(inquiry.client)
    return "" if address in LOCAL else str(address)


async def _reverse_name(inquiry: Inquiry) -> str | Unknown:
    found = await inquiry.fact(REVERSE_NAME)
    return found if isinstance(found, Unknown) else found.value.confirmed


async def _hello(inquiry: Inquiry) -> str | Unknown:
    return _domain(inquiry.hello)


async def _sender(inquiry: Inquiry) -> str | Unknown:
    return _domain(inquiry.sender.domain_key if inquiry.sender is not None else "")


def _domain(name: str) -> str:
    """Return a name that a list of domains can have; empty: there is none."""
    name = domain_key(name)
    return "" if "." not in name or name.startswith("[") or name.rpartition(".")[2].isdigit() else name


_SUBJECTS: Final[Mapping[Subject, tuple[Key[Listings], Callable[[Inquiry], Awaitable[str | Unknown]]]]] = (
    MappingProxyType(
        {
            Subject.CLIENT: (LISTED_CLIENT, _client),
            Subject.REVERSE_NAME: (LISTED_REVERSE_NAME, _reverse_name),
            Subject.HELLO: (LISTED_HELLO, _hello),
            Subject.SENDER: (LISTED_SENDER, _sender),
        }
    )
)


KEYS: Final[Mapping[Subject, Key[Listings]]] = MappingProxyType({one: key for one, (key, _) in _SUBJECTS.items()})
"""The fact about each."""


def listings(
    lists: Sequence[DnsList], resolver: CachingResolver, nursery: trio.Nursery, journal: Journal
) -> tuple[Lookup[Listings], ...]:
    """Make the lookups for all subjects that any list is asked about. Fuses live in `nursery`."""
    fuses: dict[tuple[str, bool], Fuse] = {}
    made: list[Lookup[Listings]] = []
    for subject, (key, of) in _SUBJECTS.items():
        asked: list[tuple[DnsList, Fuse]] = []
        for one in lists:
            if subject in one.subjects:
                points = one.addresses if subject is Subject.CLIENT else one.domains
                fuse = fuses.get((one.name, points.domains))
                if fuse is None:
                    fuse = Fuse(one.name, one.zone, points, resolver, nursery, journal)
                    fuses[one.name, points.domains] = fuse
                asked.append((one, fuse))
        if asked:
            made.append(Lookup(key, _Asking(tuple(asked), of)))
    return tuple(made)


class _Asking:
    """The lookup for one kind of subject."""

    __slots__ = ("_lists", "_of")

    def __init__(
        self, lists: tuple[tuple[DnsList, Fuse], ...], of: Callable[[Inquiry], Awaitable[str | Unknown]]
    ) -> None:
        self._lists = lists
        self._of = of

    async def __call__(self, inquiry: Inquiry) -> Fact[Listings]:
        """Ask all lists."""
        subject = await self._of(inquiry)
        if isinstance(subject, Unknown):
            return Known(Listings(unknown=tuple((one.name, subject.reason) for one, _ in self._lists)))
        if not subject:
            return Known(Listings())
        said: list[tuple[str, ...] | str] = ["timeout"] * len(self._lists)

        async def ask(place: int) -> None:
            with trio.move_on_after(PATIENCE):
                said[place] = await _ask(inquiry, *self._lists[place], subject)

        if inquiry.quick:
            for place, (one, fuse) in enumerate(self._lists):
                said[place] = await _ask(inquiry, one, fuse, subject)
        else:
            async with trio.open_nursery() as nursery:
                for place in range(len(self._lists)):
                    nursery.start_soon(ask, place)
        pairs = [(one.name, found) for (one, _), found in zip(self._lists, said, strict=True)]
        return Known(
            Listings(
                tuple(Listed(name, subject, found) for name, found in pairs if found and not isinstance(found, str)),
                tuple((name, found) for name, found in pairs if isinstance(found, str)),
            )
        )


async def _ask(inquiry: Inquiry, one: DnsList, fuse: Fuse, subject: str) -> tuple[str, ...] | str:
    """Return the answers of one list that count, or why nobody knows."""
    if fuse.off:
        return OFF
    answer = await inquiry.dns.ask(query_name(subject, one.zone), "A")
    if not answer.status.known:
        fuse.failed(answer.status)
        # A name that is too long to be asked for is on no list.
        return () if answer.status is Status.INVALID else answer.status.value
    if answer.status is not Status.FOUND:
        fuse.answered()
        return ()
    if wrong := fault(answer.records):
        fuse.trip(wrong)
        return OFF
    fuse.answered()
    counted = tuple(record for record in answer.records if any(one_filter.takes(record) for one_filter in one.answers))
    if not counted or fuse.sound(answer):
        return counted
    if inquiry.quick:
        raise NotAtHand
    return await fuse.prove(answer) or counted
