"""Admission: how many connections a server stands, found out by how it answers. Numbers in, a ceiling out.

Every change is a trial, and the next window shows what it was good for. A lower ceiling stays if as much mail gets
through as before: there were too many at once, and each of them waited for the others. A higher one stays if more gets
through. Else it goes back: a server that is slow for reasons of its own (a disk, a scanner, a network far away) loses
throughput with each connection less, and one that has enough to do gains nothing by more. Lower is tried when answers
become slow, and now and then while mail waits; higher while mail waits. What the server says itself counts at once: it
halves.

Tried and left: a ceiling by latency alone (Vegas, gradient), which ends at the floor before a server that is just slow;
additive increase while mail waits, which at a server that had too much to do from the start never learns that less
would be more: 36 percent of what it can do in the simulation of the tests, and 93 by trials.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from statistics import median


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """The bounds of it."""

    floor: int = 2
    """Connections that are always allowed: with fewer, one message that hangs would stop all."""
    tolerance: float = 2.0
    slack: float = 0.25
    """Answers are slow above `tolerance` times the usual pace and `slack` seconds: less is felt by nobody."""


LEAST_WINDOW = 1.0
LONGEST_WINDOW = 5.0
"""Seconds that are judged at once: until there are enough answers, but no longer."""
ENOUGH = 30
"""Answers of a window: their number tells one pace from the other within a fifth or so."""
FEWEST = 5
"""Answers without which nothing is judged."""
STEP = 1.25
"""What a ceiling is multiplied with, or divided by, for a trial."""
STRAINED = 0.5
"""What is left of the ceiling when the server says that it has too much to do."""
HARMLESS, USEFUL = 0.95, 1.05
"""Throughput, compared with before, that a lower ceiling must keep, and that a higher one must bring."""
HOLD = 15.0
"""Seconds after a trial in vain until the next one, which goes the other way."""
RAISE_AFTER = 10.0
"""Seconds after which a ceiling is raised that nobody needs higher now, or that the server itself has lowered."""
_DRIFT = 300.0
"""Seconds in which the usual pace follows one that is slower."""


class Because(Enum):
    """Why a ceiling changes."""

    STRAINED = "strained"
    TRIAL = "trial"
    BACK = "back"
    ROOM = "room"


@dataclass(frozen=True, slots=True)
class _Trial:
    ceiling: int
    """Before it."""
    rate: float
    """Messages per second then."""
    up: bool


class Admission:
    """What is known of one server's pace."""

    __slots__ = (
        "_held_until", "_number", "_raised_at", "_refused", "_samples", "_settings", "_since", "_trial", "_up",
        "_usual", "because",
    )  # fmt: skip

    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._number = 0
        self._samples: list[float] = []
        self._since = 0.0
        self._usual: float | None = None
        self._trial: _Trial | None = None
        self._up = False
        """Where the next trial goes."""
        self._refused = False
        self._held_until = 0.0
        """No trial before."""
        self._raised_at = 0.0
        self.because = Because.ROOM
        """Why the ceiling was changed last."""

    @property
    def usual(self) -> float | None:
        """Seconds that an answer usually takes; None: not known yet."""
        return self._usual

    def answered(self, number: int, paces: Iterable[float]) -> None:
        """The server has answered to so many messages; `paces` are the seconds that some of the answers took."""
        self._number += number
        self._samples += paces

    def strained(self) -> None:
        """It says that it has too much to do: 421, or 4xx with 4.3.1 or 4.3.2."""
        self._refused = True

    def changed(self, now: float) -> None:
        """The ceiling was changed by somebody else: the server is full, or there is a new limit."""
        self._trial, self._raised_at = None, now

    def next_ceiling(self, now: float, ceiling: int, limit: int, held: int, *, waiting: bool) -> int:
        """Return the ceiling from now on. Called about once a second.

        `held` connections there are, at most `limit` there may ever be; `waiting`: somebody had to wait for one.
        """
        if self._refused:
            self._restart(now)
            self._refused, self._trial, self._raised_at, self.because = False, None, now, Because.STRAINED
            return self._bounded(int(min(ceiling, held) * STRAINED), limit)
        passed, number = now - self._since, self._number
        if passed < LEAST_WINDOW or (number < ENOUGH and passed < LONGEST_WINDOW):
            return min(ceiling, limit)
        if number < FEWEST or not self._samples:
            self._restart(now)
            return self._raised(now, ceiling, limit)
        pace, rate = median(self._samples), number / passed
        self._restart(now)
        trial, self._trial = self._trial, None
        if trial is not None:
            if rate < trial.rate * (USEFUL if trial.up else HARMLESS):
                self._usual = pace if not trial.up else self._usual
                self._up, self._held_until, self.because = not trial.up, now + HOLD, Because.BACK
                return min(limit, trial.ceiling)
            self._held_until = 0.0  # on in the same way
        slow = self._is_slow(pace)
        if not slow:
            self._learn(pace, passed)
        if now >= self._held_until and (slow or waiting):
            return self._try(ceiling, limit, held, rate, up=self._up and waiting and not slow)
        return min(ceiling, limit) if slow or waiting else self._raised(now, ceiling, limit)

    def _try(self, ceiling: int, limit: int, held: int, rate: float, *, up: bool) -> int:
        tried = max(ceiling + 1, int(ceiling * STEP)) if up else int(min(ceiling, held) / STEP)
        tried = self._bounded(tried, limit)
        if tried == ceiling:
            self._up = not up
        else:
            self._trial, self.because = _Trial(ceiling, rate, up), Because.TRIAL
        return tried

    def _bounded(self, ceiling: int, limit: int) -> int:
        return min(limit, max(self._settings.floor, ceiling))

    def _is_slow(self, pace: float) -> bool:
        usual = self._usual
        return usual is not None and pace > usual * self._settings.tolerance + self._settings.slack

    def _learn(self, pace: float, passed: float) -> None:
        """Move what is usual: at once down, slowly up."""
        usual = self._usual
        self._usual = pace if usual is None or pace < usual else usual + (pace - usual) * min(1.0, passed / _DRIFT)

    def _raised(self, now: float, ceiling: int, limit: int) -> int:
        if ceiling >= limit or now - self._raised_at < RAISE_AFTER:
            return min(ceiling, limit)
        self._raised_at, self.because = now, Because.ROOM
        return ceiling + 1

    def _restart(self, now: float) -> None:
        self._number = 0
        self._samples.clear()
        self._since = now
