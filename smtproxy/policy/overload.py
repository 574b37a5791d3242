"""Overload of this process: how busy it is, and who is turned away first. Numbers in, a level out; no clock, no I/O.

Three levels. Calm: nothing happens. Stressed: clients without a good record hear 421 4.3.2 above a number of sessions
(`room`), get less time for a command and fewer errors; who has had mail delivered before comes in as ever. Full: nobody
is accepted for the moment; clients wait in the kernel's queue, where they lose nothing but time.

Four gauges. Sessions count at once, since a flood fills them within a second. The lag of the event loop, the memory and
the descriptors count when `STEADY` readings in a row agree, up as well as down: one long step of the loop (a list that
is read, garbage that is collected) is no overload. How the room shrinks is not a matter of tuning: it is a share of the
sessions there are, again with each reading, so it follows them down until the gauge is well; it grows again by
`GROWTH`.

It must never shut honest mail out. Below `FEWEST` sessions nobody is turned away, whatever the gauges show: what is
wrong then (a neighbour who takes the processor, memory that Python does not give back) is not theirs, and would not get
better. Postfix does the same with one bit ("stress", all processes in use) and the same numbers for time and errors.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum

from smtproxy.session.stress import Stress
from smtproxy.wire.values import value


class Level(IntEnum):
    """How much there is to do."""

    CALM = 0
    STRESSED = 1
    FULL = 2

    @property
    def word(self) -> str:
        """As the log has it."""
        return self.name.lower()


class Because(Enum):
    """Which gauge says so; the earlier one is named where two say the same."""

    SESSIONS = "sessions"
    LAG = "lag"
    MEMORY = "memory"
    DESCRIPTORS = "descriptors"


@dataclass(frozen=True, slots=True)
class OverloadSettings:
    """When a process has too much to do, and what follows."""

    enabled: bool = True
    lag: float = 1.0
    """Seconds the event loop comes late: each reply is that late at least. Full at `FULL_LAG` times as much."""
    memory: float = 0.8
    """Share of the memory that this process may have. Full half way from there to all of it."""
    kept: float = 0.2
    """Share of the sessions that strangers do not get."""
    command_time: float = 10.0
    """Seconds for a command of a stranger. Postfix smtpd_timeout = ${stress?{10}:{300}}s"""
    errors: int = 3
    """Errors of a stranger above which its session ends. Postfix smtpd_hard_error_limit = ${stress?{1}:{20}}"""
    calm_after: float = 30.0
    """Seconds without reason until a level is left."""


STEADY = 3
"""Readings that must agree."""
FEWEST = 50
"""Sessions below which nobody is turned away. One of mail lasts a second or two: 25 strangers a second come in."""
FULL_LAG = 5.0
SCARCE, LAST = 64, 16
"""Free descriptors at which a process is stressed, and full. In good order there are more: sessions are bounded by them
(`app/worker.py`, RESERVE), so fewer is a leak, or a limit that somebody lowered."""
GROWTH = 1.25
"""What the room for strangers is multiplied with when there is no reason any more, with each reading."""


@value
class Reading:
    """How busy the process was at a moment."""

    now: float
    """Seconds on a clock that only goes forward."""
    sessions: int
    lag: float = 0.0
    """Seconds by which the event loop came late."""
    memory: float | None = None
    """Share of what this process may have; None: nobody knows."""
    descriptors: int | None = None
    """Those still free; None: nobody knows."""


@value
class Change:
    """What the log is to be told."""

    level: Level
    before: Level
    because: Because
    """The gauge that rose, or that fell last."""
    turned_away: int
    """Strangers that heard 421 since the change before."""


class _Gauge:
    """One measure: it changes when all of the last readings agree; up at once, where it is told so."""

    __slots__ = ("_at_once", "_last", "level")

    def __init__(self, *, at_once: bool = False) -> None:
        self._at_once = at_once
        self._last = deque([Level.CALM] * STEADY, maxlen=STEADY)
        self.level = Level.CALM

    def take(self, level: Level) -> None:
        self._last.append(level)
        least = level if self._at_once else min(self._last)
        self.level = min(max(self.level, least), max(self._last))


class Overload:
    """The state of one process."""

    __slots__ = (
        "_all",
        "_because",
        "_gauges",
        "_least",
        "_most",
        "_reason_at",
        "_scales",
        "_settings",
        "_turned_away",
        "level",
        "paused",
        "room",
        "stress",
    )

    def __init__(self, settings: OverloadSettings, most: int) -> None:
        """Be calm. `most`: sessions there may be."""
        self._settings = settings
        self._most = most
        self._all = max(1, round(most * (1 - settings.kept)))
        self._least = min(FEWEST, self._all)
        self._scales = _scales(settings, self._all, most)
        self._gauges = {one: _Gauge(at_once=one is Because.SESSIONS) for one in Because}
        self._because = Because.SESSIONS
        self._reason_at = 0.0
        """When there was reason for the level for the last time."""
        self._turned_away = 0
        self.level = Level.CALM
        self.paused = False
        """Whether nobody is to be accepted for the moment. Not by the number of sessions: who accepts knows that to the
        session."""
        self.room = self._all
        """Sessions up to which strangers are let in."""
        self.stress = Stress(settings.command_time)
        """What the sessions see of it."""

    def admits(self, sessions: int, *, good: bool) -> bool:
        """Whether a client is let in, who is one of so many sessions then; `good`: it has a good record."""
        if good or sessions <= self.room:
            return True
        self._turned_away += 1
        return False

    def take(self, reading: Reading) -> Change | None:
        """Take a reading, about one a second; return how the level changes."""
        helps = reading.sessions > self._least
        for because, gauge in self._gauges.items():
            gauge.take(self._scales[because](reading) if helps or because is Because.SESSIONS else Level.CALM)
        pressing = max(gauge.level for one, gauge in self._gauges.items() if one is not Because.SESSIONS)
        self.paused = helps and pressing is Level.FULL
        if pressing:
            share = int(reading.sessions * (1 - self._settings.kept))
            self.room = max(self._least, min(self.room, share))
        else:
            self.room = min(self._all, int(self.room * GROWTH) + 1)
        change = self._turn(reading.now)
        self.stress.on = self.level > Level.CALM
        return change

    def _turn(self, now: float) -> Change | None:
        """Go up at once, and down when there has been no reason for long enough."""
        level = max(gauge.level for gauge in self._gauges.values())
        if level >= self.level:
            self._reason_at = now
            if level > Level.CALM:
                self._because = next(one for one, gauge in self._gauges.items() if gauge.level is level)
        elif now - self._reason_at < self._settings.calm_after:
            level = self.level
        if level is self.level:
            return None
        before, self.level = self.level, level
        turned_away, self._turned_away = self._turned_away, 0
        self._reason_at = now
        return Change(level, before, self._because, turned_away)


def _scales(settings: OverloadSettings, strangers: int, most: int) -> dict[Because, Callable[[Reading], Level]]:
    """Return for each gauge what its measure is worth."""

    def above(value: float | None, stressed: float, full: float) -> Level:
        if value is None or value < stressed:
            return Level.CALM
        return Level.FULL if value >= full else Level.STRESSED

    def scarce(left: int | None) -> float | None:
        return None if left is None else -left

    return {
        Because.SESSIONS: lambda reading: above(reading.sessions, strangers, max(most, strangers)),
        Because.LAG: lambda reading: above(reading.lag, settings.lag, settings.lag * FULL_LAG),
        Because.MEMORY: lambda reading: above(reading.memory, settings.memory, (settings.memory + 1) / 2),
        Because.DESCRIPTORS: lambda reading: above(scarce(reading.descriptors), -SCARCE, -LAST),
    }
