"""Greylisting: who is suspicious and unknown is asked to come again, once for all mail of its organisation.

A bot does not come again, a mail server does. What hurts in it elsewhere (PEERS section 3.1: pools retry from another
address each time) is met by the key: not the client's address but the organisation, as far as SPF or the DNS prove it.
Who came again once is let through from then on, whatever it sends; who has a good record, or is known to come again
badly, is never asked. Must never refuse for good, and never refuse where nothing is known of the key.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from smtproxy.policy.acquaintances import NETWORK
from smtproxy.policy.dynamic_names import sign_of_a_dynamic_name
from smtproxy.policy.evidence import Evidence, Known, Unknown
from smtproxy.policy.facts import GREYLIST, Greylist, Spf
from smtproxy.policy.findings import Finding
from smtproxy.policy.replies import Reason
from smtproxy.policy.verp import reduced
from smtproxy.session.networks import address_of
from smtproxy.session.verdicts import Refused, Stage, Verdict
from smtproxy.wire.paths import Path, domain_key

NAME = "greylist"
"""Who decides where it does, in the log."""
PASSED, GOOD_RECORD, RETRIES_BADLY = "passed", "good_record", "retries_badly"
LATE = 4 * 3600.0
"""Seconds. An organisation that needs longer to come again is not asked to any more: its users wait for half a day.
RFC 5321 4.5.4.1 asks for two attempts in the first hour."""
SPARED_FOR = 180 * 86400.0
"""Seconds for which it is not."""
_REMEMBERED = 5
"""Times `passes_for` that a pass stays known after it has ended: such a sender has shown that it is a mail server."""
_FRESH = 3600.0
"""Seconds in which a pass is not renewed once more: a busy sender must not write for each mail."""
_PASS, _FIRST, _OPEN, _SPARED = "grey-pass", "grey-first", "grey-open", "grey-spared"


@dataclass(frozen=True, slots=True)
class Windows:
    """Times of greylisting, in seconds."""

    wait: float = 120.0
    """Who comes again sooner is asked once more. Shorter than any server's first retry (Postfix 5 min, Exim 15 min;
    others wait 5 to 25 min: PEERS section 2.7), longer than a bot stays."""
    retry_within: float = 2 * 86400.0
    """Who comes later begins anew. Most servers give up after two to five days."""
    passes_for: float = 36 * 86400.0
    """How long who came again is let through, from its last mail on: a newsletter once a month stays known."""


@dataclass(frozen=True, slots=True)
class Greylisting:
    """When a sender is asked to come again."""

    least: float
    """The sum of findings from which on a client is suspicious."""
    windows: Windows = Windows()
    observe: bool = False
    """Nothing follows but a note; findings that are observed are added up, too, to see what would happen."""


class Texts(Protocol):
    """Where it is kept. Nothing here waits, and nothing raises."""

    def put(self, purpose: str, name: str, text: str, seconds: float) -> None:
        """Keep a text for so long."""

    def text(self, purpose: str, name: str) -> str | None:
        """Return what was put."""


def sender_key(client: str, spf: Spf | None, confirmed: str, organisation: Callable[[str], str | None]) -> str:
    """Return who a sender is, as far as it is proven before DATA; empty: its balancer did not say.

    `confirmed`: the client's reverse name, if it leads back; `organisation` returns the organisational domain of a
    name. That of a provider's customer stands for nobody but his network: else one bot would let all customers pass.
    """
    if spf is not None and spf.result == "pass" and spf.domain:
        domain = domain_key(spf.domain)
        return organisation(domain) or domain
    try:
        address = address_of(client)
    except ValueError:
        return ""
    named = organisation(confirmed) if confirmed and not sign_of_a_dynamic_name(confirmed, address) else None
    return named or NETWORK.named(address)


def attempt_name(key: str, sender: Path, recipient: Path) -> str:
    """Return what all attempts to send the same mail have in common."""
    return f"{key} {reduced(sender)} {recipient.domain_key}"


def judge(greylisting: Greylisting, evidence: Evidence) -> tuple[Finding, str]:
    """Return what is found of a suspicious client, and why it is let through all the same; empty: it is not."""
    fact = evidence.get(GREYLIST)
    if isinstance(fact, Unknown):
        return Finding(Reason.GREYLISTED, {"fact": GREYLIST.name, "unknown": fact.reason}), "unknown"
    known, wait = fact.value, greylisting.windows.wait
    saw: dict[str, object] = {"key": known.key, "waited": known.waited}
    left = wait if known.waited is None else wait - known.waited
    finding = Finding(Reason.GREYLISTED, saw, f"{max(left, 1.0):.0f}")
    if known.spared:
        return finding, known.spared
    return finding, "came again" if left <= 0 else ""


class GreylistMemory:
    """Who was asked to come again, and who did. Each entry is a time in seconds since 1970, and names a key."""

    __slots__ = ("_kept", "windows")

    def __init__(self, kept: Texts, windows: Windows) -> None:
        self._kept = kept
        self.windows = windows

    def entries(self, key: str, attempt: str) -> tuple[tuple[str, str, float], ...]:
        """Return what `recall` reads, for those who bring it from other machines: purpose, name, seconds."""
        windows = self.windows
        return (
            (_PASS, key, _REMEMBERED * windows.passes_for),
            (_SPARED, key, SPARED_FOR),
            (_FIRST, attempt, windows.retry_within),
        )

    def recall(self, key: str, attempt: str, now: float) -> Greylist:
        """Return what is known of a key and an attempt."""
        if self._passes(key, now):
            return Greylist(key, None, PASSED)
        if self._kept.text(_SPARED, key) is not None:
            return Greylist(key, None, RETRIES_BADLY)
        first = self._time(_FIRST, attempt)
        in_time = first is not None and 0 <= now - first <= self.windows.retry_within
        return Greylist(key, round(now - first, 1) if first is not None and in_time else None)

    def learn(self, evidence: Evidence, verdict: Verdict, now: float) -> None:
        """Keep what a verdict about a recipient means: a first attempt, a second one, another use of a pass."""
        fact = evidence.get(GREYLIST)
        if evidence.stage is not Stage.RECIPIENT or not isinstance(fact, Known) or not fact.value.key:
            return
        if isinstance(verdict, Refused) and verdict.by != NAME:
            return
        known = fact.value
        if known.spared == PASSED:
            used = self._time(_PASS, known.key)
            if used is None or now - used > _FRESH:
                self._pass(known.key, now)
        elif not known.spared and any(_asks(note) for note in verdict.notes):
            self._attempted(known, evidence, now)

    def _attempted(self, known: Greylist, evidence: Evidence, now: float) -> None:
        """A suspicious client that has no pass was here."""
        envelope, recipient = evidence.dialogue.envelope, evidence.dialogue.recipient
        if envelope is None or recipient is None:
            return
        windows, key = self.windows, known.key
        if known.waited is None:
            self._kept.put(_FIRST, attempt_name(key, envelope.sender, recipient.path), _at(now), windows.retry_within)
            self._look_back(key, now)
        elif known.waited >= windows.wait:
            self._pass(key, now)
            if known.waited > LATE:
                self._kept.put(_SPARED, key, "late", SPARED_FOR)

    def _look_back(self, key: str, now: float) -> None:
        """Who had a pass once, and did not come again this time, is spared: it is a mail server, and retries badly."""
        if self._time(_PASS, key) is None:
            return
        opened = self._time(_OPEN, key)
        if opened is None:
            self._kept.put(_OPEN, key, _at(now), 2 * self.windows.retry_within)
        elif now - opened > self.windows.retry_within:
            self._kept.put(_SPARED, key, "never", SPARED_FOR)

    def _passes(self, key: str, now: float) -> bool:
        used = self._time(_PASS, key)
        return used is not None and now - used <= self.windows.passes_for

    def _pass(self, key: str, now: float) -> None:
        self._kept.put(_PASS, key, _at(now), _REMEMBERED * self.windows.passes_for)

    def _time(self, purpose: str, name: str) -> float | None:
        with suppress(ValueError):  # a person may have put anything
            return float(self._kept.text(purpose, name) or "")
        return None


def _asks(note: Mapping[str, object]) -> bool:
    """Whether a note says that a client was suspicious enough, and not exempt."""
    return note["check"] == NAME and not str(note.get("because", "")).startswith("exempt")


def _at(now: float) -> str:
    return f"{now:.1f}"
