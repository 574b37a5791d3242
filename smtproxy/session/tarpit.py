"""Who is kept waiting at once: the bounds of the action `tarpit`, and of every other delay, for all sessions together.

A delay costs the client time and us a session. Whoever opens thousands of connections only to be delayed would fill
the process with sleepers, so above a bound nobody is delayed: the verdict is given at once, and the log says so. Who
was let in is counted until `leave`, which the conversation calls exactly once, however the delay ends.
"""

from dataclasses import dataclass
from enum import Enum

from smtproxy.session.networks import ONE_ADDRESS, Grouping, address_of


class PaceFor(Enum):
    """Whose bodies are taken slowly."""

    FINDINGS = "findings"
    """Those of clients of whom something was found that is to be felt."""
    ALL = "all"


@dataclass(frozen=True, slots=True)
class TarpitSettings:
    """How long, and how many at once."""

    delay: float = 5.0
    """Seconds; Exchange's TarpitInterval."""
    max_per_client: int = 4
    """Sessions of one client: its tenth connection learns nothing from waiting. Ours; no precedent bounds it so."""
    max_total: int = 1000
    """Sessions of all clients: a tenth of those there may be by default. spamd -c allows 800 connections in all."""
    grouping: Grouping = ONE_ADDRESS
    stutter: bool = False
    """A refusal that is delayed is said an octet a second meanwhile, see `stutter.py`."""
    pace: int = 0
    """Octets per second at which a body is taken, see `pacing.py`; 0: as fast as it comes."""
    pace_for: PaceFor = PaceFor.FINDINGS


class Tarpit:
    """The sessions of a process that are being delayed."""

    __slots__ = ("_of_client", "_settings", "_total")

    def __init__(self, settings: TarpitSettings) -> None:
        """Nobody is delayed yet."""
        self._settings = settings
        self._of_client: dict[int, int] = {}
        """Client -> its delayed sessions, never 0: no more entries than `max_total`."""
        self._total = 0

    @property
    def stutters(self) -> bool:
        """Whether delayed refusals are said octet by octet."""
        return self._settings.stutter

    def pace(self, *, suspect: bool) -> int:
        """Return at how many octets per second a body is to be taken; 0: as fast as it comes."""
        settings = self._settings
        return settings.pace if suspect or settings.pace_for is PaceFor.ALL else 0

    def enter(self, client: str) -> str:
        """Count one more session of the client at this address; return "".

        Or the name of the bound that is reached: then it is not counted, and not to be delayed.
        """
        number = self._settings.grouping.of(address_of(client))
        already = self._of_client.get(number, 0)
        if already >= self._settings.max_per_client:
            return "max_per_client"
        if self._total >= self._settings.max_total:
            return "max_total"
        self._of_client[number] = already + 1
        self._total += 1
        return ""

    def leave(self, client: str) -> None:
        """A session that was counted is delayed no longer."""
        number = self._settings.grouping.of(address_of(client))
        left = self._of_client[number] - 1
        self._total -= 1
        if left:
            self._of_client[number] = left
        else:
            del self._of_client[number]

    def __len__(self) -> int:
        """Count the sessions that are being delayed."""
        return self._total
