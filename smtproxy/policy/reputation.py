"""Reputation: what is learned of clients and proven domains from how their mail ends, and the penalty box.

What a person has set (an entry: block or allow) is kept apart from what was learned (counts and penalties), and nothing
that is learned changes it. Counts fade. A client that was refused again and again, and never had a mail delivered, goes
to the penalty box for a while: each time for twice as long, up to a bound. What a refusal means is not decided here:
that is the matter of the checks `blocked` and `reputation`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any, Final

from smtproxy.policy.acquaintances import DELIVERED, GOOD, HALF_LIFE, hosts
from smtproxy.policy.facts import Reputation
from smtproxy.policy.remembering import Remembering, Said
from smtproxy.session.networks import address_of
from smtproxy.wire.replies import NO_SUCH_USER

ENTRY, PENALTY, SEEN, BOXED, BADNESS = "entry", "penalty", "seen", "boxed", "badness"
BALANCED: Final = "balanced"
"""Purpose: whose penalty is that of a client behind a balancer, which no packet filter of ours can see."""
REFUSED, UNKNOWN, HARVESTS, EARLY = "refused", "unknown", "harvests", "early"
COUNTS: Final = (REFUSED, UNKNOWN, HARVESTS, EARLY)
"""Purposes under which bad conduct is counted, each for itself."""
BAD_LASTS: Final = 86400.0
"""Seconds in which bad conduct loses half of its weight: addresses of bots are somebody else's next week."""
BOXED_LASTS: Final = 7 * 86400.0
"""The same of how often a client was in the penalty box."""
SEEN_LASTS: Final = 90 * 86400.0
"""Seconds after which a client or domain that had mail delivered is new, if it does not come again."""
NEW_LASTS: Final = 2 * 86400.0
"""The same of one that had none: bots come once, and would fill the store."""
HARVEST: Final = 5
"""Unknown recipients of one mail: a list with a few dead addresses has fewer."""
HARVEST_WEIGHS: Final = 5.0
MOST_UNKNOWN: Final = 10
"""Unknown recipients of one mail that count: an old list that is sent once is no dictionary attack."""
MOMENT: Final = 1.0
"""Seconds for which a reputation may be the one of before: a busy sender's sessions do not each read ten entries of the
store. As long as counts are held back (`stores/at_hand.py`); what persons say holds at once."""
MET_LASTS: Final = 600.0
"""Seconds in which a domain that was met need not be met again: what is kept of it lasts for weeks."""
MOST_SAID: Final = 2000
"""Clients and domains of which that is kept."""
PREFIXES_IPV4: Final = (32, 24, 16, 8)
PREFIXES_IPV6: Final = (128, 64, 48, 32)
"""Sizes of networks that a person can block or allow: each is one look for each session."""
_OURS: Final = frozenset({"blocked", "reputation", "", "backend", "client", "protocol", "quotas"})
"""Who may refuse without saying something of the client: least of all what it was refused for already."""
_HARMLESS: Final = frozenset({"size", "bare_newlines", "loops", "recipients"})
"""Duties that honest clients meet, too; unknown recipients are counted by themselves."""


@dataclass(frozen=True, slots=True)
class ReputationSettings:
    """When a client goes to the penalty box."""

    threshold: float = 30.0
    """Badness."""
    penalty: float = 900.0
    """Seconds, the first time."""
    longest: float = 86400.0
    """Seconds, at most."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a person has set."""

    word: str
    """block | allow"""
    by: str
    reason: str

    def written(self) -> str:
        """Return the text that is kept of it."""
        return f"{self.word} {self.by} {self.reason}".rstrip()


@dataclass(frozen=True, slots=True)
class Penalty:
    """What the log is to be told: a client has gone to the penalty box."""

    client: str
    """The name under which it is there."""
    reason: str
    seconds: float


def entry_of(text: str) -> Entry:
    """Read what `written` wrote."""
    word, by, reason = (*text.split(" ", 2), "", "")[:3]
    return Entry(word, by, reason)


def moment(seconds: float) -> str:
    """Write a time, in seconds since 1970, as it stands in the log."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Reputations:
    """The reputations of all clients and domains."""

    __slots__ = ("_kept", "_lately", "_met", "_settings")

    def __init__(self, kept: Remembering, settings: ReputationSettings | None = None) -> None:
        """Without settings nobody goes to the penalty box."""
        self._kept = kept
        self._settings = settings
        self._lately: dict[str, tuple[int, float, Reputation]] = {}
        """What was said of a client or domain a moment ago, with the number of persons' changes then, and when."""
        self._met: dict[str, float] = {}
        """Domains that were met lately, and when."""

    def of_client(self, client: str, now: float) -> Reputation:
        """Return the reputation of a client that has come; `now`: seconds since 1970. It is known from now on."""
        known = self._just_said(client, now)
        if known is not None:
            return known
        names = hosts(client)
        if not names:
            return Reputation()
        return self._say(client, now, self._of(names[0], entry_names(client), names[-1], now, comes=True))

    def of_domain(self, domain: str, now: float) -> Reputation:
        """Return the reputation of a domain; what a person has set for a domain above counts for those below it."""
        known = self._just_said(domain, now)
        if known is not None:
            return known
        return self._say(domain, now, self._of(domain, domains_above(domain), domain, now, comes=False))

    def _just_said(self, name: str, now: float) -> Reputation | None:
        """Return what was said a moment ago, if no person has changed anything since, and nothing bad was learned."""
        said = self._lately.get(name)
        if said is None or said[0] != self._kept.persons or not 0.0 <= now - said[1] < MOMENT:
            return None
        return said[2]

    def _say(self, name: str, now: float, reputation: Reputation) -> Reputation:
        if len(self._lately) >= MOST_SAID:
            self._lately.clear()
        self._lately[name] = self._kept.persons, now, reputation
        return reputation

    def _of(self, name: str, entries: Sequence[str], network: str, now: float, *, comes: bool) -> Reputation:
        texts = [*((ENTRY, one) for one in entries), (PENALTY, name), (SEEN, name)]
        counts = [(BADNESS, name, BAD_LASTS), (DELIVERED, name, HALF_LIFE)]
        if network != name:
            counts.append((DELIVERED, network, HALF_LIFE))
        found, (badness, delivered, *of_network) = self._kept.look(texts, counts)
        *set_, penalty, seen = found
        lasts = SEEN_LASTS if delivered else NEW_LASTS
        if comes and (seen is None or seen.expires - now < lasts / 2):
            self._kept.mark(SEEN, name, lasts)
        refused, unknown, harvests, early = self._bad(name) if badness else (0.0,) * len(COUNTS)
        blocked, allowed = _named("block", entries, set_), _named("allow", entries, set_)
        too_bad = self._settings is not None and badness >= self._settings.threshold
        known_bad = not allowed and bool(blocked or penalty or too_bad)
        text, until = (allowed or blocked or _NOTHING)[1:]
        entry = entry_of(text)
        return Reputation(
            known_good=not known_bad and max(delivered, *of_network, 0.0) >= GOOD,
            known_bad=known_bad,
            age=None if seen is None else float(round(max(now - seen.since, 0.0))),
            delivered=round(delivered, 2),
            refused=round(refused, 2),
            unknown_recipients=round(unknown, 2),
            harvests=round(harvests, 2),
            early_talks=round(early, 2),
            badness=round(badness, 2),
            blocked=blocked[0] if blocked else "",
            allowed=allowed[0] if allowed else "",
            set_by=entry.by,
            reason=entry.reason,
            until=until,
            penalty=penalty.text if penalty else "",
            penalty_until=moment(penalty.expires) if penalty else "",
        )

    def _bad(self, name: str) -> Sequence[float]:
        return self._kept.look((), [(purpose, name, BAD_LASTS) for purpose in COUNTS])[1]

    def ended(self, client: str, domains: Collection[str], message: Mapping[str, Any], now: float) -> Penalty | None:
        """Learn from the fields of a `message` line, of a mail that was proven to be from these domains."""
        if domains and message["outcome"] == "delivered":
            self._meet(domains, now)
        conduct = _conduct(message)
        return self._learn(client, domains, conduct, message["by"]) if conduct else None

    def _meet(self, domains: Collection[str], now: float) -> None:
        """Know these domains from now on; not before they are proven, as a client may name any."""
        strange = [one for one in domains if not 0.0 <= now - self._met.get(one, -MET_LASTS) < MET_LASTS]
        if not strange:
            return
        if len(self._met) >= MOST_SAID:
            self._met.clear()
        self._met.update(dict.fromkeys(strange, now))
        found, _ = self._kept.look([(SEEN, one) for one in strange], ())
        for domain, seen in zip(strange, found, strict=True):
            if seen is None or seen.expires - now < SEEN_LASTS / 2:
                self._kept.mark(SEEN, domain, SEEN_LASTS)

    def refused(self, client: str, by: str) -> Penalty | None:
        """A session was refused by a check before it had a mail."""
        return self._learn(client, (), {REFUSED: 1.0}, by) if by not in _OURS else None

    def talked_early(self, client: str) -> Penalty | None:
        """A client did not wait for a reply in its session."""
        return self._learn(client, (), {EARLY: 1.0}, "")

    def came_through_balancer(self, penalty: Penalty) -> None:
        """Note of a penalty that the address is not that of the connection."""
        self._kept.put(BALANCED, penalty.client, "", penalty.seconds)

    def _learn(self, client: str, domains: Collection[str], conduct: Mapping[str, float], by: str) -> Penalty | None:
        for one in (client, *domains):
            self._lately.pop(one, None)
        names = hosts(client)
        weight = sum(
            number * (HARVEST_WEIGHS if purpose == HARVESTS else 1.0)
            for purpose, number in conduct.items()
            if purpose != REFUSED or by not in _HARMLESS
        )
        for name in (*domains, *names):
            for purpose, number in conduct.items():
                self._kept.add(purpose, name, BAD_LASTS, number)
            if weight:
                self._kept.add(BADNESS, name, BAD_LASTS, weight)
        if REFUSED in conduct and names:
            self._kept.add(f"{REFUSED}.{by}", names[0], BAD_LASTS)
        return self._judge(names) if names and weight else None

    def _judge(self, names: Sequence[str]) -> Penalty | None:
        """Put a client into the penalty box if it deserves it, and is not there already."""
        settings, name = self._settings, names[0]
        if settings is None:
            return None
        (there,), (badness, boxed, *delivered) = self._kept.look(
            [(PENALTY, name)],
            [(BADNESS, name, BAD_LASTS), (BOXED, name, BOXED_LASTS), *((DELIVERED, one, HALF_LIFE) for one in names)],
        )
        if badness < settings.threshold or there is not None or any(delivered):
            return None
        seconds = min(settings.penalty * 2.0 ** min(round(boxed), 30), settings.longest)
        words = ("refused", "unknown recipients", "harvests", "early")
        counted = [f"{number:.0f} {word}" for number, word in zip(self._bad(name), words, strict=True) if number >= 0.5]
        reason = ", ".join(counted)
        self._kept.put(PENALTY, name, reason, seconds)
        self._kept.add(BOXED, name, BOXED_LASTS)
        return Penalty(name, reason, seconds)


_NOTHING: Final = ("", "", "")


def _named(word: str, names: Sequence[str], found: Sequence[Said | None]) -> tuple[str, str, str] | None:
    """Return the first entry that says so: the name it is about, its text, and when it ends."""
    for name, said in zip(names, found, strict=True):
        if said is not None and said.text.startswith(word):
            return name, said.text, moment(said.expires)
    return None


def _conduct(message: Mapping[str, Any]) -> Mapping[str, float]:
    """Return what was bad in a mail: how much of what."""
    unknown = sum(map(_is_unknown, message["recipients"]))
    conduct: dict[str, float] = {}
    if message["outcome"] == "rejected" and message["by"] not in _OURS:
        conduct[REFUSED] = 1.0
    if unknown:
        conduct[UNKNOWN] = float(min(unknown, MOST_UNKNOWN))
    if unknown >= HARVEST:
        conduct[HARVESTS] = 1.0
    return conduct


def _is_unknown(recipient: Mapping[str, str | None]) -> bool:
    code, _, text = (recipient["reply"] or "").partition(" ")
    known_so = recipient["by"] in ("recipients", "backend")
    return known_so and code.startswith("5") and text.partition(" ")[0] in NO_SUCH_USER


@lru_cache(maxsize=4096)
def entry_names(client: str) -> tuple[str, ...]:
    """Return the names under which a person may have set something for a client: its own, then larger networks."""
    address = address_of(client)
    if isinstance(address, IPv4Address):
        return (str(address), *(str(IPv4Network((address, bits), strict=False)) for bits in PREFIXES_IPV4[1:]))
    return (str(address), *(str(IPv6Network((address, bits), strict=False)) for bits in PREFIXES_IPV6[1:]))


MOST_LABELS: Final = 5


@lru_cache(maxsize=4096)
def domains_above(domain: str) -> tuple[str, ...]:
    """Return a domain and those above it, the top level left out, the longest first."""
    labels = domain.split(".")
    above = [".".join(labels[at:]) for at in range(1, len(labels) - 1)]
    return (domain, *above[-MOST_LABELS:])
