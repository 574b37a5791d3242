"""Recipients asked for at the backend itself, or at another port of it (Exchange's 2525): one RCPT for each address.

What a reply means: 2xx, it exists; 5.1.1 and 5.1.10, it does not; 4.2.2 and 5.2.2, its mailbox is full. A 550 without
enhanced status code means that it does not exist if the same server takes anybody else in that domain (postmaster is
asked for where nobody is known): it might refuse the null sender, and then all mail would be lost. Any other 5xx is
about something else (a list of who may send), so the question stays open and the session hears of it from the backend.
Whatever is temporary, or blames the way in which was asked, leaves the address unknown, and is not remembered.

A server that takes a recipient whom nobody can have takes all of them (Exchange as it is shipped, BACKENDS 1.5): of its
domain nothing is said, and the log warns that it will bounce.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import trio

from smtproxy.lookups.recipients.entries import MISSING, PRESENT
from smtproxy.lookups.recipients.remembered import Answer, Remembered
from smtproxy.lookups.recipients.source import Opinion, covers, record_failed
from smtproxy.lookups.recipients.spelling import Address
from smtproxy.network.callout import CalloutError, random_recipient
from smtproxy.network.inquiry import NotAtHand
from smtproxy.policy.evidence import Known, Unknown
from smtproxy.session.records import Event, Journal
from smtproxy.session.upstream import MISCONFIGURED
from smtproxy.wire.paths import Path
from smtproxy.wire.replies import NO_SUCH_USER, Reply

STALE = 86400.0
"""Seconds for which an address that existed counts on while nobody can be asked."""
MOST_DOMAINS = 10_000


@dataclass(frozen=True, slots=True)
class CalloutSettings:
    """The settings of one."""

    name: str
    backend: str
    domains: frozenset[str] = frozenset()
    timeout: float = 8.0
    """Seconds for a question, the wait for a connection included."""
    exists_lives: float = 3600.0
    """Seconds that "it exists" is remembered, and whether a server takes everybody."""
    missing_lives: float = 300.0
    """Seconds that "it does not exist" is remembered."""


@dataclass(slots=True)
class _Domain:
    """What is known of a domain."""

    everybody: bool
    """A recipient whom nobody can have is taken."""
    since: float
    vouched: bool = False
    """Somebody is taken."""


class Asking(Protocol):
    """Whoever asks the backend: `smtproxy.network.callout.Callouts`."""

    async def ask(self, recipients: Sequence[Path], due: float) -> list[Reply]:
        """Return the reply to RCPT for each of them, until `due` on trio's clock. Raises CalloutError."""

    async def run(self) -> None:
        """Ask what there is to be asked, for ever."""


class CalloutSource:
    """Recipients as a backend's server knows them."""

    kind = "callout"
    age = None

    def __init__(
        self,
        settings: CalloutSettings,
        journal: Journal,
        clock: Callable[[], float],
        asking: Asking | None,
    ) -> None:
        """`clock` tells seconds since 1970. Without `asking` it says nothing of anybody: where a session is only
        thought of, the backend is left alone.
        """
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._asking = asking
        self._addresses = Remembered[Opinion](clock)
        self._domains: dict[str, _Domain] = {}
        self._trouble = ""

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        return self._settings.name

    def covers(self, domain: str) -> bool:
        """Whether it is to be asked about a domain."""
        return covers(self._settings.domains, domain)

    def at_hand(self, address: Address) -> Opinion:
        """Say what is remembered. Raises NotAtHand."""
        if self._asking is None:
            return None
        known = self._addresses.fresh(address)
        if known is not None:
            return known
        if self._takes_everybody(address.domain):
            return None
        raise NotAtHand

    async def ask(self, address: Address) -> Opinion:
        """Ask the backend."""
        asking = self._asking
        return None if asking is None else await self._addresses.ask(address, lambda: self._call(asking, address))

    async def start(self) -> None:
        """Nothing is to be done: each address is asked for when it comes."""

    async def run(self) -> None:
        """Keep the connections."""
        if self._asking is not None:
            await self._asking.run()

    async def refresh(self) -> str:
        """Forget everything: that is as fresh as it can be."""
        self._domains.clear()
        return f"forgot {self._addresses.clear()} addresses"

    def forget(self, address: Address) -> bool:
        """Forget what was said of one address and of its domain; tell whether there was something."""
        domain = self._domains.pop(address.domain, None)
        return self._addresses.forget(address) or domain is not None

    def about(self) -> Mapping[str, object]:
        """Return the number of addresses, who takes everybody, and what is wrong."""
        everybody = [domain for domain in self._domains if self._takes_everybody(domain)]
        return {
            "backend": self._settings.backend,
            "entries": len(self._addresses),
            "takes_everybody_in": ", ".join(everybody),
            "trouble": self._trouble if self._asking is not None else "only running workers ask the backend",
        }

    def _takes_everybody(self, domain: str) -> bool:
        known = self._seen(domain)
        return known is not None and known.everybody

    def _seen(self, domain: str) -> _Domain | None:
        """Return what is known of a domain, unless that is too old."""
        known = self._domains.get(domain)
        return known if known is not None and 0 <= self._clock() - known.since < self._settings.exists_lives else None

    async def _call(self, asking: Asking, address: Address) -> Answer[Opinion]:
        path = address.path
        if path is None:
            return Answer(Unknown("an address that cannot be asked for"))
        due = trio.current_time() + self._settings.timeout
        probing = self._seen(address.domain) is None
        try:
            reply, *more = await asking.ask([path, random_recipient(path.domain)] if probing else [path], due)
            if more:
                self._learn(address.domain, more[0])
            if reply.code == 550 and not reply.enhanced and not self._vouched(address.domain):
                (other,) = await asking.ask([Path("postmaster", path.domain)], due)
                self._vouch(address.domain, other)
        except CalloutError as error:
            return self._failed(address, str(error))
        self._vouch(address.domain, reply)
        answer = self._meaning(reply, address.domain)
        if isinstance(answer.opinion, Unknown):
            return self._failed(address, answer.opinion.reason)
        self._trouble = ""
        return answer

    def _vouched(self, domain: str) -> bool:
        known = self._domains.get(domain)
        return known is not None and known.vouched

    def _vouch(self, domain: str, reply: Reply) -> None:
        """Note that somebody is taken there, if that is what a reply says."""
        known = self._domains.get(domain)
        if known is not None and reply.kind == 2:
            known.vouched = True

    def _meaning(self, reply: Reply, domain: str) -> Answer[Opinion]:
        """Say what a reply to RCPT says of the address."""
        enhanced = reply.enhanced or ""
        if reply.kind == 2:
            everybody = self._takes_everybody(domain)
            return Answer(None) if everybody else Answer(Known(PRESENT), self._settings.exists_lives)
        if enhanced in NO_SUCH_USER or (reply.code == 550 and not enhanced and self._vouched(domain)):
            return Answer(Known(MISSING), self._settings.missing_lives)
        if enhanced.endswith(".2.2"):
            return Answer(Known(replace(PRESENT, over_quota=True)))
        if reply.kind == 5 and reply.code not in MISCONFIGURED:
            return Answer(None)
        return Answer(Unknown(f"{reply.code} {reply.text}"))

    def _learn(self, domain: str, reply: Reply) -> None:
        """Take the reply to a recipient whom nobody can have."""
        if reply.kind == 4 or reply.code in MISCONFIGURED:
            return  # it says nothing
        everybody, before = reply.kind == 2, self._domains.get(domain)
        self._domains[domain] = _Domain(everybody, self._clock(), before is not None and before.vouched)
        if len(self._domains) > MOST_DOMAINS:  # with domains = ["*"] the client chooses them
            del self._domains[next(iter(self._domains))]
        if everybody and not (before is not None and before.everybody):
            record_accepts_all(self._journal, self._settings.backend, domain, reply, self.name)

    def _failed(self, address: Address, reason: str) -> Answer[Opinion]:
        if reason != self._trouble:
            self._trouble = reason
            record_failed(self._journal, self, None, reason)
        return Answer(self._addresses.existed(address, STALE) or Unknown(reason))


def record_accepts_all(journal: Journal, backend: str, domain: str, reply: Reply, source: str = "") -> None:
    """Say in the log that a server takes anybody in a domain, by its reply to a random recipient."""
    journal.record(
        Event.BACKEND_ACCEPTS_ALL,
        {"backend": backend, "domain": domain, "reply": f"{reply.code} {reply.text}", "source": source},
    )
