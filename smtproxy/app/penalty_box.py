"""What `smtproxy reputation` sees and sets, in a worker: show, forgive, block, allow.

All workers share the memory, so any of them can be asked; what each has held back for a moment is counted first. Where
several machines share a store, what persons set holds on the machine where they said it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Protocol

from smtproxy.policy.acquaintances import DELIVERED, HALF_LIFE, HOST
from smtproxy.policy.reputation import (
    BAD_LASTS,
    BADNESS,
    BALANCED,
    BOXED,
    BOXED_LASTS,
    COUNTS,
    EARLY,
    ENTRY,
    HARVESTS,
    PENALTY,
    PREFIXES_IPV4,
    PREFIXES_IPV6,
    REFUSED,
    SEEN,
    UNKNOWN,
    Entry,
    entry_of,
    moment,
)
from smtproxy.session.networks import address_of
from smtproxy.stores.at_hand import AtHand
from smtproxy.stores.keys import HASHED, LONGEST_TEXT
from smtproxy.stores.store import Record, Taken
from smtproxy.wire.paths import domain_key

Rows = Sequence[Mapping[str, object]]
WORDS = ("show", "forgive", "block", "allow")
_WORDS = {
    DELIVERED: "delivered",
    REFUSED: "refused",
    UNKNOWN: "unknown recipients",
    HARVESTS: "harvests",
    EARLY: "early talks",
    BADNESS: "badness",
}


def key_of(text: str) -> str:
    """Read an address, a network or a domain, in the form in which it is kept. Raises ValueError, in a person's words.

    A name that is not said ([store] privacy) may stand as `show` prints it. An address of IPv6 stands for itself; what
    is counted is its /64.
    """
    if text.startswith(HASHED):
        return text
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return _domain(text)
    if isinstance(network, IPv6Network) and network.prefixlen == 128:
        return str(address_of(str(network.network_address)))
    sizes = PREFIXES_IPV4 if isinstance(network, IPv4Network) else PREFIXES_IPV6
    if network.prefixlen not in sizes:
        offered = ", ".join(f"/{size}" for size in sizes)
        raise ValueError(f"{text}: networks can be {offered}; name several of these")
    return str(network.network_address) if network.prefixlen == 32 and network.version == 4 else str(network)


def _domain(text: str) -> str:
    key = domain_key(text.removeprefix("@"))
    if "/" in text or "@" in key or "." not in key or not all(key.split(".")) or not key.isprintable() or " " in key:
        raise ValueError(f'"{text}" is neither an address, nor a network, nor a domain')
    return key


def too_long(entry: Entry) -> bool:
    """Whether there is no room for who has set it and why."""
    return len(entry.written().encode()) > LONGEST_TEXT


def counted_as(key: str) -> str:
    """Return the name under which it is counted what this key does: of an address of IPv6 its /64."""
    try:
        return HOST.named(address_of(key))
    except ValueError:
        return key


class Limits(Protocol):
    """The limits of a worker, as an administrator asks for them: `lookups/rate_limits.py`."""

    async def standing(self, name: str) -> list[tuple[str, float, Taken]]:
        """Return for each that has counted somebody its name, its burst and what is left."""

    async def exceeded(self) -> list[tuple[str, str]]:
        """Return who gets nothing at the moment, and from which."""

    async def forgive(self, name: str) -> list[str]:
        """Give all back that was taken from somebody; return the names of those that had counted him."""


class Kernel(Protocol):
    """Whom the kernel refuses, as far as it matters here: `app/kernel_blocks.py`."""

    def said(self) -> None:
        """A person has set or lifted something."""

    async def of(self, key: str) -> str:
        """Say whether it refuses an address or a network; empty: it does not."""

    async def words(self) -> str:
        """Say how many it refuses."""


class PenaltyBox:
    """The reputations of a worker, and what its limits have counted, as an administrator sees them."""

    def __init__(
        self,
        kept: AtHand,
        checks: Sequence[str],
        clock: Callable[[], float],
        limits: Limits | None = None,
        kernel: Kernel | None = None,
    ) -> None:
        """`checks`: the names of all that may refuse; `clock`: seconds since 1970; `limits`: None: there are none;
        `kernel`: None: it refuses nobody.
        """
        self._limits = limits
        self._kernel = kernel
        self._kept = kept
        self._checks = checks
        self._clock = clock

    async def answer(self, question: Sequence[str]) -> Rows:
        """Do what a question says: word, key, and for `block` and `allow` seconds, who, why. Raises ValueError."""
        word, text, *more = question
        if word == "show":
            return await self.show(key_of(text)) if text else await self.all()
        try:
            return [{"says": await self._change(word, key_of(text), more)}]
        finally:
            if self._kernel is not None:
                self._kernel.said()

    async def _change(self, word: str, key: str, more: Sequence[str]) -> str:
        if word == "forgive":
            return await self.forgive(key)
        seconds, by, reason = more
        entry = Entry(word, by, reason)
        if word not in WORDS or too_long(entry) or " " in by:
            raise ValueError(word)
        return self.set(key, entry, float(seconds))

    def set(self, key: str, entry: Entry, seconds: float) -> str:
        """Block or allow a key; say what became of it."""
        if not self._kept.pin(ENTRY, key, entry.written(), seconds):
            return f"{key} could not be kept: the store is full of what persons have set"
        return f"{key}: {_said(entry)} until {moment(self._clock() + seconds)}"

    async def forgive(self, key: str) -> str:
        """Lift what a person has set, end a penalty, give back what limits have counted, and forget all that is bad;
        what was delivered stays known.
        """
        self._kept.settle()
        name, lifted = counted_as(key), []
        (set_,), _ = self._kept.look([(ENTRY, key)], [])
        if set_ is not None and self._kept.lift(ENTRY, key):
            lifted.append(_said(entry_of(set_.text)))
        if self._kept.lift(PENALTY, name):
            self._kept.lift(BALANCED, name)
            lifted.append("penalty")
        bad = (BADNESS, BOXED, *COUNTS, *(f"{REFUSED}.{check}" for check in self._checks))
        if sum(self._kept.lift(purpose, name) for purpose in bad):
            lifted.append("what it was refused for")
        lifted += [f"limit {limit}" for limit in (await self._limits.forgive(key) if self._limits else ())]
        return f"{key}: {', '.join(lifted)} lifted" if lifted else f"{key}: there was nothing to be lifted"

    async def show(self, key: str) -> Rows:
        """Say all that is known of a key."""
        name = counted_as(key)
        rows: list[Mapping[str, object]] = [{"says": line} for line in self._standing(key, name)]
        if self._kernel is not None and (refused := await self._kernel.of(key)):
            rows.append({"says": refused})
        purposes = (DELIVERED, *COUNTS, BADNESS)
        half_lives = [HALF_LIFE, *(BAD_LASTS for _ in (*COUNTS, BADNESS))]
        _, counted = self._kept.look([], [(one, name, life) for one, life in zip(purposes, half_lives, strict=True)])
        said: dict[str, object] = {
            _WORDS[one]: round(number, 2) for one, number in zip(purposes, counted, strict=True) if number
        }
        _, by = self._kept.look([], [(f"{REFUSED}.{check}", name, BAD_LASTS) for check in self._checks])
        said |= {f"refused by {one}": round(number, 2) for one, number in zip(self._checks, by, strict=True) if number}
        if said:
            rows.append({"says": f"counted for {name}, fading", **said})
        for limit, burst, taken in await self._limits.standing(key) if self._limits else ():
            again = "" if taken.allowed else f": exceeded, lets one through again in {taken.wait:.0f} s"
            rows.append({"says": f"limit {limit}: {taken.left:.0f} of {burst:.0f} left{again}"})
        return rows or [{"says": f"nothing is known of {key}"}]

    def _standing(self, key: str, name: str) -> Iterator[str]:
        (set_, penalty, seen), (boxed,) = self._kept.look(
            [(ENTRY, key), (PENALTY, name), (SEEN, name)], [(BOXED, name, BOXED_LASTS)]
        )
        if set_ is not None:
            yield f"{_said(entry_of(set_.text))} since {moment(set_.since)} until {moment(set_.expires)}"
        if penalty is not None:
            yield (
                f"in the penalty box since {moment(penalty.since)} until {moment(penalty.expires)}, "
                f"for {penalty.text}; {round(boxed)} times lately"
            )
        if seen is not None:
            yield f"seen first {moment(seen.since)}"

    async def all(self) -> Rows:
        """Say what persons have set, who is in the penalty box, and whom limits hold off at the moment."""
        rows = [(name, f"{_said(entry_of(one.text))} {_until(one)}") for name, one in self._kept.scan(ENTRY)]
        rows += [(name, f"penalty for {one.text} {_until(one)}") for name, one in self._kept.scan(PENALTY)]
        held_off = await self._limits.exceeded() if self._limits else []
        rows += [(name or "all together", f"limit {limit} is exceeded") for name, limit in held_off]
        lines = [f"{name}: {said}" for name, said in rows] or ["nobody is blocked or allowed"]
        if self._kernel is not None:
            lines.append(await self._kernel.words())
        return [{"says": line} for line in lines]


def _said(entry: Entry) -> str:
    word = {"block": "blocked", "allow": "allowed"}.get(entry.word, entry.word)
    return f"{word} by {entry.by}{f' ({entry.reason})' * bool(entry.reason)}"


def _until(record: Record) -> str:
    return f"until {moment(record.expires)}"
