"""The fuse of a list of the DNS: whether what it says may count. RFC 5782 5, PEERS complaint 2

Lists die, and their domains are sold and then list the world; lists answer 127.255.255.254 to everybody whose resolver
they do not like; lists are refilled by a script that fails. Each of these has refused all mail of whoever believed it.
So each list has points that it must list, and points that it must not:

* those of RFC 5782, 127.0.0.2 and 127.0.0.1 (for domains TEST and INVALID), seen well within the last minute;
* one drawn by lot (in 127.128.0.0/9, or below INVALID), asked after the very answer that is to count: the points of the
  RFC lie in the resolver's memory, where a list that went mad a second ago still looks well.

While a fuse is off nobody asks the list for mail, nothing it says counts, and its points are asked until it is well.
Names of questions may hold a key: none reaches the log.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from smtproxy.network.boundary import Surviving
from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.resolver import CachingResolver
from smtproxy.session.networks import pointer_of
from smtproxy.session.records import Event, Journal

FRESH = 60.0
"""Seconds for which test points that were seen well count."""
LOOK_AFTER = 300.0
"""Seconds after which the points are asked again though nothing was listed: a dead list would never be noticed."""
FAILURES = 3
"""Questions in a row without an answer before the points are asked."""
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 300.0
"""Seconds between two looks at a list that is off; each pause is twice the one before."""
OFF = "list_off"
"""Why a list says nothing, in a word."""
CRASHED = "crashed"
"""Why nobody knows, where a test ended by a bug."""
_OUR_FAULT = frozenset({Status.DOWN, Status.BUDGET, Status.INVALID})
"""Nobody could be asked: that is no sign of the list."""


@dataclass(frozen=True, slots=True)
class Points:
    """What a list must have and must not have, as one asks for it: addresses, or domains."""

    listed: str = "127.0.0.2"
    """Empty: it is not tested."""
    unlisted: str = "127.0.0.1"
    domains: bool = False


ADDRESSES = Points()
DOMAINS = Points("test", "invalid", domains=True)


def query_name(subject: str, zone: str) -> str:
    """Return the name that is asked for: an address turned round, or a domain, below the zone. RFC 5782 2.1, 2.4"""
    try:
        pointer = pointer_of(subject)
    except ValueError:
        return f"{subject}.{zone}"
    return f"{pointer.removesuffix('.in-addr.arpa').removesuffix('.ip6.arpa')}.{zone}"


def fault(answers: Sequence[str]) -> str:
    """Return what is wrong with positive answers, whatever was asked; empty: nothing."""
    for answer in answers:
        if answer.startswith("127.255.255."):
            return f"error answer {answer}"
        if answer == "127.0.0.1":  # SURBL and URIBL say so to whom they refuse
            return f"refusal {answer}"
        if not answer.startswith("127."):
            return f"answer {answer} outside 127.0.0.0/8"
    return ""


class Fuse:
    """Of one list, and one kind of subject."""

    def __init__(
        self, name: str, zone: str, points: Points, resolver: CachingResolver, nursery: trio.Nursery, journal: Journal
    ) -> None:
        """Be on. `name` is what the log calls the list; tests run in `nursery`."""
        self._name = name
        self._zone = zone
        self._points = points
        self._resolver = resolver
        self._nursery = nursery
        self._journal = journal
        self._running: trio.Event | None = None
        self._points_at = self._lot_at = -math.inf
        self._looked_at = -math.inf
        self._failures = 0
        self._unsure = ""
        """Why the last test said nothing."""
        self.off = ""
        """Why; empty: it is on."""

    def sound(self, answer: Answer) -> bool:
        """Whether a positive answer may count as it is."""
        return not self.off and self._lot_at >= answer.at and trio.current_time() - self._points_at <= FRESH

    async def prove(self, answer: Answer) -> str:
        """Ask the points until the answer may count, or may not; return why not. One test for all who wait for one."""
        while not self.sound(answer):
            if self.off:
                return OFF
            if self._running is None:
                self._begin()
            running = self._running
            if running is not None:
                await running.wait()
            if self._unsure:
                return self._unsure
        return ""

    def answered(self) -> None:
        """Note that the list answers, and look after it now and then."""
        self._failures = 0
        if trio.current_time() - self._looked_at > LOOK_AFTER and self._running is None and not self.off:
            self._begin()

    def failed(self, status: Status) -> None:
        """Note that it did not answer."""
        if status in _OUR_FAULT:
            return
        self._failures += 1
        if self._failures >= FAILURES and self._running is None and not self.off:
            self._failures = 0
            self._begin()

    def trip(self, reason: str) -> None:
        """Switch it off, say so once, and look until it is well."""
        if self.off:
            return
        self.off = reason
        self._points_at = self._lot_at = -math.inf
        self._resolver.forget(self._zone)
        self._journal.record(Event.LIST_OFF, {"list": self._name, "reason": reason})
        self._nursery.start_soon(self._recover, trio.current_time())

    def _begin(self) -> None:
        self._running = done = trio.Event()
        self._nursery.start_soon(self._test, done)

    async def _test(self, done: trio.Event) -> None:
        begun = trio.current_time()
        self._looked_at = begun
        try:
            wrong, self._unsure = await self._look(whole=begun - self._points_at > FRESH / 2)
            if wrong:
                self.trip(wrong)
            elif not self._unsure and not self.off:
                self._lot_at = begun
        finally:
            self._running = None
            done.set()

    async def _recover(self, since: float) -> None:
        pause = FIRST_PAUSE
        while True:
            await trio.sleep(pause)
            wrong, unsure = await self._look(whole=True)
            if not wrong and not unsure:
                break
            if unsure in ("", CRASHED):
                pause = min(pause * 2, LONGEST_PAUSE)
        self._resolver.forget(self._zone)
        self.off = ""
        self._journal.record(Event.LIST_ON, {"list": self._name, "off": round(trio.current_time() - since, 3)})

    async def _look(self, *, whole: bool) -> tuple[str, str]:
        """Ask all points, or the one drawn by lot. Return what is wrong with the list, and why nobody knows."""
        with Surviving(self._journal, "dns list"):
            return await self._asked(whole=whole)
        return "", CRASHED

    async def _asked(self, *, whole: bool) -> tuple[str, str]:
        begun = trio.current_time()
        points = [(self._drawn(), False)]
        if whole:
            points += [(self._points.unlisted, False), (self._points.listed, True)]
        for point, listed in points:
            if not point:
                continue
            answer = await self._resolver.ask_anew(query_name(point, self._zone), "A")
            if answer.status in _OUR_FAULT:
                return "", answer.status.value
            if not answer.status.known:
                return f"no answer for its test point {point}: {answer.status.value}", ""
            if wrong := fault(answer.records):
                return wrong, ""
            if (answer.status is Status.FOUND) is not listed:
                says = "does not list its test point" if listed else "lists what nobody may list:"
                return f"{says} {point}", ""
        if whole:
            self._points_at = begun
        return "", ""

    def _drawn(self) -> str:
        lot = os.urandom(4)
        if self._points.domains:
            return f"x{lot.hex()}.invalid"
        return f"127.{128 | lot[0] % 127}.{lot[1]}.{lot[2]}"
