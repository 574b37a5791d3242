"""Facts `spf` and `spf_hello`: is the client's address one of those that the domain sends from? RFC 7208

The evaluator is spftrace, an asyncio library, hosted by trio-asyncio; the DNS stays our own. Two things follow:

* trio-asyncio patches asyncio for the whole process: nobody else may import it, and this module is imported only where
  SPF is on. `hosting()` must be around the accept loop: a task inherits the loop from whoever starts it.
* An evaluation cannot run to its end on the spot, even if all answers are at hand. So its results are kept, and the
  quick way knows nothing but them.

A domain chooses how much work its record is. Beyond the limits of RFC 7208 4.6.4 it says permerror: more than
`MOST_RECORDS` in one answer, or a record longer than `LONGEST_RECORD`. What the evaluator itself cannot bear is
permerror, too: a record that makes it raise must not look like a fault of ours.
"""

import re
import warnings
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import spftrace

from smtproxy.network.dns.answers import Answer, Resolver, Status
from smtproxy.network.inquiry import Inquiry, Lookup, NotAtHand
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.facts import SPF, SPF_HELLO, Spf
from smtproxy.wire.paths import domain_key

with warnings.catch_warnings():
    # It subclasses a class of asyncio that Python 3.12 and 3.13 say is deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import trio_asyncio

TIME_LIMIT: Final = 20.0
"""Seconds for one evaluation. RFC 7208 4.6.4: at least 20; a session waits for less, which is not decided here."""
MOST_QUESTIONS: Final = 130
"""For one evaluation: a belt. What RFC 7208 4.6.4 allows is 1 record, 10 terms of 11 names each, and an explanation."""
MOST_RECORDS: Final = 512
"""Records in one answer. Each address is compared: 64 KiB of them (DNS over TCP) at each of 110 names are seconds."""
LONGEST_RECORD: Final = 8192
"""Octets of one record. RFC 7208 3.4 recommends 450; the longest seen in use have some 4,000."""
LONGEST_EXPLANATION: Final = 500
"""Characters. It is untrusted text for the log."""
KEPT: Final = 20000
"""Results, about 500 octets each."""
KEPT_FOR: Final = 3600.0
"""Seconds a result is kept at most, however long the records may be. The resolver's cache has the same bound."""

_MACRO: Final = re.compile(r"%\{[slhcrt]", re.IGNORECASE)
"""Macros by which a result depends on more than address and domain. RFC 7208 7.2"""

# spftrace 0.3 takes no blank in an explanation, which has one behind every word (RFC 7208 6.2: macro-string / SP), and
# drops it as a whole. Blanks go in as this and come out as blanks; who really writes this wants a blank, too.
_BLANK: Final = "&#32;"


@dataclass(frozen=True, slots=True)
class _Kept:
    fact: Known[Spf]
    until: float


class Results:
    """Results of evaluations until the first of the records they rest on expires; the least recently used go first.

    Most records ask for nothing but address and domain: then one result serves all senders of the domain.
    """

    __slots__ = ("_kept", "_most")

    def __init__(self, most: int = KEPT) -> None:
        self._kept: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()
        self._most = most

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, client: str, sender: str, hello: str, now: float) -> Known[Spf] | None:
        """Return a result that is still good at `now` (seconds, any clock that goes forward)."""
        for key in ((client, _domain(sender)), (client, sender, hello)):
            kept = self._kept.get(key)
            if kept is not None and now < kept.until:
                self._kept.move_to_end(key)
                return kept.fact
        return None

    def keep(self, client: str, sender: str, hello: str, evaluation: "Evaluation", now: float) -> None:
        """Keep a result, unless it is a failure of the DNS or may not be kept."""
        if evaluation.ttl <= 0 or evaluation.spf.result == "temperror":
            return
        key = (client, sender, hello) if evaluation.personal else (client, _domain(sender))
        self._kept[key] = _Kept(Known(evaluation.spf), now + min(evaluation.ttl, KEPT_FOR))
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A result, and how long and for whom it holds."""

    spf: Spf
    ttl: float = KEPT_FOR
    """Seconds: the least of the answers it rests on."""
    personal: bool = False
    """It depends on the local part or on the hello name."""


class _Dns(spftrace.BaseResolver):
    """The transport that spftrace asks for: our resolver, and what is to be known of the answers it gave."""

    def __init__(self, dns: Resolver) -> None:
        self._dns = dns
        self.ttl = KEPT_FOR
        self.personal = False

    async def _lookup(self, name: str, rtype: str) -> tuple[str, list[str]]:
        answer: Answer = await trio_asyncio.trio_as_aio(self._dns.ask)(name, rtype)
        status = answer.status
        if status is Status.INVALID:
            return "NXDOMAIN", []
        if not status.known:
            return "SERVFAIL", []
        self.ttl = min(self.ttl, answer.ttl)
        if status is Status.NO_NAME:
            return "NXDOMAIN", []
        return "NOERROR", self._bounded(name, rtype, answer.records)

    def _bounded(self, name: str, rtype: str, records: tuple[str, ...]) -> list[str]:
        if rtype == "PTR":
            return list(records[:MOST_RECORDS])  # RFC 7208 4.6.4: those behind the tenth are ignored
        if len(records) > MOST_RECORDS:
            raise spftrace.SpfPermError(f"more than {MOST_RECORDS} records at {name}")
        if rtype == "MX":
            # "10 mail.example.org"; the null MX names nobody. RFC 7505 3
            return [host for record in records if (host := record.partition(" ")[2]) not in ("", ".")]
        if rtype == "TXT":
            if any(len(record) > LONGEST_RECORD and _is_policy(record) for record in records):
                raise spftrace.SpfPermError(f"record longer than {LONGEST_RECORD} octets at {name}")
            self.personal = self.personal or any(map(_MACRO.search, records))
            short = [record for record in records if len(record) <= LONGEST_RECORD]
            return [record if _is_policy(record) else record.replace(" ", _BLANK) for record in short]
        return list(records)


def _is_policy(record: str) -> bool:
    return record[:6].lower() == "v=spf1"


@asynccontextmanager
async def hosting() -> AsyncIterator[None]:
    """Host asyncio in this task and all that it starts from here on: evaluations can run in these only."""
    async with trio_asyncio.open_loop():
        yield


async def evaluate(dns: Resolver, client: str, sender: str, hello: str) -> Evaluation:
    """Evaluate SPF of a mailbox (`postmaster@` the hello name for the hello identity). `client`: its address.

    Raises whatever the resolver raises, and RuntimeError outside of `hosting()`.
    """
    transport = _Dns(dns)
    limits = spftrace.Limits(time_limit=TIME_LIMIT, max_queries=MOST_QUESTIONS)
    evaluator = spftrace.Evaluator(transport, limits)
    domain = _domain(sender)
    try:
        result = await trio_asyncio.aio_as_trio(evaluator.evaluate)(client, sender, hello)
    except (ValueError, RecursionError, OverflowError):
        # int() of a transformer with 5,000 digits, a name that cannot be encoded: the owner's record, not our fault.
        return Evaluation(Spf("permerror", domain), transport.ttl, transport.personal)
    explanation = (result.explanation or "").replace(_BLANK, " ")[:LONGEST_EXPLANATION]
    return Evaluation(Spf(result.verdict, domain, explanation), transport.ttl, transport.personal)


def lookups(results: Results, clock: Callable[[], float]) -> tuple[Lookup[Spf], Lookup[Spf]]:
    """Return the lookups of both identities; `clock`: seconds, for how long results are kept."""

    async def look(inquiry: Inquiry, sender: str, hello: str) -> Fact[Spf]:
        client = inquiry.client
        if not client:
            return Unknown("no client address")
        domain = _domain(sender)
        if "." not in domain or domain.startswith("["):
            return Known(Spf("none", domain))  # RFC 7208 4.3: an address literal, or no full name
        known = results.get(client, sender, hello, clock())
        if known is not None:
            return known
        if inquiry.quick:
            raise NotAtHand
        evaluation = await evaluate(inquiry.dns, client, sender, hello)
        results.keep(client, sender, hello, evaluation, clock())
        return Known(evaluation.spf)

    async def of_sender(inquiry: Inquiry) -> Fact[Spf]:
        path = inquiry.sender
        if path is None:
            return Unknown("no sender")
        if path.is_null:  # RFC 7208 2.4
            return await of_hello(inquiry)
        return await look(inquiry, f"{path.mailbox_local}@{path.domain_key}", inquiry.hello)

    async def of_hello(inquiry: Inquiry) -> Fact[Spf]:
        return await look(inquiry, f"postmaster@{domain_key(inquiry.hello)}", inquiry.hello)

    return Lookup(SPF, of_sender), Lookup(SPF_HELLO, of_hello)


def _domain(sender: str) -> str:
    return sender.rpartition("@")[2].lower()
