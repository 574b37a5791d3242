"""The enumeration: every string, at three places, under every setting, in every body mode, in every single cut.

What is covered at which level, for strings of at most `longest` octets:

* *Intake* (framer, newline hygiene, size, header scan; all that a body's octets pass through): every string under every
  setting, whole, in every single cut (`Place.cuts`: each from three octets in front of the string to where an end of
  data in it or beside it is over, and each in the honest end), and in all of these cuts at once, which is octet by
  octet where it matters. Between header and rest; strings of less than `longest` octets at all three places.
* *Relay* (whole sessions; both dialogues, policy, commit): every string between header and rest, under every setting
  and in each of the three body modes, whole. For strings of up to `ALL_CUTS` octets also in every single cut and in all
  cuts at once. For those of up to `ALL_WAYS` octets the product is complete: all three places, the three modes and two
  that spill out of memory, whole, in every single cut, in all cuts at once, and octet by octet from end to end. Of all
  longer ones every `SAMPLE`th is played at one place, in turn, in all five modes, in one single cut, in turn, and in
  all cuts at once.
* *Backends*: every octet stream that a relay handed to a backend is fed once to each kind of backend, lax ones and a
  strict one, streams that were broken off among them.

What each of them gives is compared with `reference.py`: replies, bodies, number of messages; never with each other.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import product, repeat
from multiprocessing import get_context

from smtproxy.session.intake import Intake
from smtproxy.wire.newlines import NewlineMode
from tests.smuggling.backends import Backends
from tests.smuggling.reference import Expected, expected, passed
from tests.smuggling.relayed import DATA, ENVELOPE, MODES, SPILLING, Mode, Relayed, Seen
from tests.smuggling.strings import END, MIDDLE, PLACES, SECOND, Place, cut, octet_by_octet, strings

SETTINGS = tuple(NewlineMode)
ALL_CUTS = 4
ALL_WAYS = 2
SAMPLE = 16
_TALKS = 64
"""Talks of one session, then a new one begins."""
_FORGED = SECOND[: SECOND.index(DATA)]


@dataclass(slots=True)
class Report:
    """What was done and what was found."""

    strings: int = 0
    intake: int = 0
    relay: int = 0
    backends: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        self.strings += other.strings
        self.intake += other.intake
        self.relay += other.relay
        self.backends += other.backends
        self.violations += other.violations

    def __str__(self) -> str:
        return (
            f"{self.strings:,} strings: {self.intake:,} cases of intake, {self.relay:,} of the whole relay, "
            f"{self.backends:,} pairs of octet stream and backend; {len(self.violations)} violations"
        )


class Enumeration:
    """One share of the strings."""

    def __init__(self, longest: int) -> None:
        self.report = Report()
        self._longest = longest
        self._backends = Backends()
        self._sessions: dict[tuple[NewlineMode, str], tuple[Relayed, int]] = {}

    def run(self, share: Iterable[tuple[int, bytes]]) -> Report:
        """Go through these strings, each with its number among all."""
        for number, string in share:
            self.report.strings += 1
            for setting in SETTINGS:
                for place in PLACES if len(string) < self._longest else (MIDDLE,):
                    self._intake(place, string, setting)
                for mode in MODES:
                    self._relay(MIDDLE, string, setting, mode, [MIDDLE.talk(string)])
                for place, mode, pieces in _cases(number, string):
                    self._relay(place, string, setting, mode, pieces)
        self.report.backends = self._backends.fed
        return self.report

    # The intake alone

    def _intake(self, place: Place, string: bytes, setting: NewlineMode) -> None:
        talk = place.talk(string)
        stream = b"\r\n" + talk
        at = stream.index(END)
        body = stream[2:at] if at else b""
        end = END if at else b".\r\n"
        text = passed(body, setting)
        wanted = None if text is None else text + end
        rest = stream[at + len(END) :]
        cuts = place.cuts(string)
        for pieces in ([talk], cut(talk, *cuts), *(cut(talk, at) for at in cuts)):
            self.report.intake += 1
            intake = Intake(setting, 1 << 20, 1 << 10)
            out = behind = b""
            for piece in pieces:
                if intake.ended:
                    behind += piece
                else:
                    given, behind = intake.feed(piece)
                    out += given
            complaint = ""
            if not intake.ended:
                complaint = "no end was found"
            elif behind != rest:
                complaint = f"the end is at the wrong place: {behind!r}"
            elif intake.spoilt is (wanted is not None):
                complaint = "refused or not, against the setting"
            elif wanted is None:
                if not body.startswith(out):
                    complaint = f"octets that nobody sent: {out!r}"
                else:
                    complaint = self._backends.complaint(out, ended=False)
            elif out + intake.terminator != wanted:
                complaint = f"{out + intake.terminator!r} instead of {wanted!r}"
            if complaint:
                self._violation("intake", place, string, setting, pieces, complaint)

    # The whole relay

    def _relay(self, place: Place, string: bytes, setting: NewlineMode, mode: Mode, pieces: list[bytes]) -> None:
        self.report.relay += 1
        seen = self._session(setting, mode).say(pieces)
        complaint = self._judge(seen, expected(pieces, setting))
        if complaint:
            self._violation(f"relay, {mode.name}", place, string, setting, pieces, complaint)

    def _judge(self, seen: Seen, wanted: Expected) -> str:
        if seen.codes != wanted.codes:
            return f"the client heard {seen.codes} instead of {wanted.codes}"
        if seen.closed is not wanted.closed:
            return "the session should have ended" if wanted.closed else "the session ended"
        told = seen.codes.count(250) - 2 * seen.codes.count(354)
        if len(seen.committed) != len(wanted.accepted):
            return f"{len(seen.committed)} messages at the backend instead of {len(wanted.accepted)} ({told=})"
        envelopes = iter((ENVELOPE, _FORGED))
        for octets, body in zip(seen.committed, wanted.accepted, strict=True):
            envelope, _, sent = octets.partition(DATA)
            if envelope.rpartition(b"RSET\r\n")[2] not in envelopes:
                return f"another envelope, or another order: {envelope!r}"
            if sent != body:
                return f"the backend got {sent!r} instead of {body!r}"
            if complaint := self._backends.complaint(sent, ended=True):
                return complaint
        for octets in seen.broken_off:
            sent = octets.partition(DATA)[2]
            if not any(body.startswith(sent) for body in wanted.refused):
                return f"the backend got {sent!r} of a message that is refused, which is not how it begins"
            if complaint := self._backends.complaint(sent, ended=False):
                return complaint
        return ""

    def _session(self, setting: NewlineMode, mode: Mode) -> Relayed:
        key = setting, mode.name
        session, talks = self._sessions.get(key, (None, 0))
        if session is None or session.over or talks == _TALKS:
            session, talks = Relayed(setting, mode), 0
        self._sessions[key] = session, talks + 1
        return session

    def _violation(
        self, level: str, place: Place, string: bytes, setting: NewlineMode, pieces: list[bytes], complaint: str
    ) -> None:
        how = f"cut into {[len(piece) for piece in pieces]}" if len(pieces) < 3 else "octet by octet"
        self.report.violations.append(f"{level}, {place.name}, {setting.value}, {string!r}, {how}: {complaint}")
        self._sessions.clear()


def _cases(number: int, string: bytes) -> Iterator[tuple[Place, Mode, list[bytes]]]:
    """What a string is played in besides whole, between header and rest, in the three modes."""
    if len(string) <= ALL_WAYS:
        for place, mode in product(PLACES, (*MODES, *SPILLING)):
            talk, cuts = place.talk(string), place.cuts(string)
            yield from ((place, mode, cut(talk, at)) for at in cuts)
            yield place, mode, [talk]
            yield place, mode, cut(talk, *cuts)
            yield place, mode, octet_by_octet(talk)
    elif len(string) <= ALL_CUTS:
        talk, cuts = MIDDLE.talk(string), MIDDLE.cuts(string)
        for mode in MODES:
            yield from ((MIDDLE, mode, cut(talk, at)) for at in cuts)
            yield MIDDLE, mode, cut(talk, *cuts)
    if len(string) > ALL_WAYS and number % SAMPLE == 0:
        turn = number // SAMPLE
        place = PLACES[turn % len(PLACES)]
        talk, cuts = place.talk(string), place.cuts(string)
        for mode in (*MODES, *SPILLING):
            yield place, mode, cut(talk, cuts[turn % len(cuts)])
            yield place, mode, cut(talk, *cuts)


def enumerate_all(longest: int, share: int = 0, shares: int = 1) -> Report:
    """Run the strings of up to `longest` octets whose number leaves `share` when divided by `shares`."""
    numbered = enumerate(strings(longest))
    return Enumeration(longest).run((number, string) for number, string in numbered if number % shares == share)


def enumerate_in_processes(longest: int, processes: int) -> Report:
    """The same with one process for each share."""
    report = Report()
    # Spawned, not forked: a test run has threads, and a fork of those may hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for part in pool.map(enumerate_all, repeat(longest), range(processes), repeat(processes, processes)):
            report.add(part)
    return report
