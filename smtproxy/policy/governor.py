"""The governor: a check that suddenly refuses far more than it used to, or senders with a good history, is suspended.

Complaint 2 of the field (a block list that answers "listed" for the world) becomes delay, not loss: a demoted check
says 4xx where it would say 5xx, senders come again, and the log says why at error level. It recovers by itself.

Counted are networks of clients, not refusals: one bot that tries a thousand times is one. "Usual" is a slow average of
the check's own rate over windows, so a check that always refuses nine of ten is not suspected for it.

Pure: the clock is passed in, and what it thinks (`demoted`) is part of the evidence, so a decision can be repeated.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from smtproxy.policy.acquaintances import NETWORK
from smtproxy.policy.findings import Action
from smtproxy.session.networks import address_of

_REFUSING = frozenset({Action.REJECT.value, Action.DROP.value})
MOST_NETWORKS = 10_000
"""Networks counted in a window, for each check; beyond, the rate is known well enough."""
MEMORY = 0.1
"""Weight of one window in what is usual: some ten windows."""
HISTORY = 200
"""Networks a check must have judged before its rate says anything."""
LEAST_RATE = 0.1
"""A check that refuses fewer than a tenth has not gone mad, whatever it did before."""


LATEST = 40
"""Networks: the last ones that were judged."""
PRIOR = 20
"""Networks judged as usual that are thought to stand in front of each window: ten refusals in a row are chance for a
check that refuses four of five."""


@dataclass(frozen=True, slots=True)
class GovernorSettings:
    """When a check is not believed."""

    window: float = 300.0
    """Seconds."""
    factor: float = 5.0
    """How many times the usual odds of a refusal are too much."""
    refusals: int = 10
    """Refusals in a window, of different networks, below which nothing is done."""
    good: int = 3
    """Refusals in a window of senders with a good history."""


@dataclass(slots=True)
class _Record:
    """What is known of one check."""

    since: float
    judged: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    good: set[int] = field(default_factory=set)
    latest: deque[bool] = field(default_factory=lambda: deque(maxlen=LATEST))
    """Whether it refused the networks that came last. A window of a busy server has thousands of them, and a tenth of
    those would have to be refused before the whole of it shows anything."""
    usual: float | None = None
    """Its rate over the windows before this one."""
    history: int = 0
    """Networks judged in those windows."""
    demoted: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What the log is to be told."""

    check: str
    demoted: bool
    refused: int
    judged: int
    good: int
    usual: float | None


class Governor:
    """Watches the checks of a process."""

    __slots__ = ("_records", "_settings", "demoted")

    def __init__(self, settings: GovernorSettings) -> None:
        """Believe every check."""
        self._settings = settings
        self._records: dict[str, _Record] = {}
        self.demoted: frozenset[str] = frozenset()
        """Checks that are not believed at present."""

    def saw(
        self, asked: Iterable[str], notes: Iterable[Mapping[str, object]], client: str, now: float, *, good: bool
    ) -> list[Change]:
        """Take what the checks that were `asked` found about a client's mail; `good`: it has a good history.

        A note counts by what is configured, whatever was made of it: so a check that is demoted can show that it has
        come to its senses. One that is lifted by an exemption does not.
        """
        try:
            network = NETWORK.of(address_of(client))
        except ValueError:
            return []
        refused = {
            str(note["check"])
            for note in notes
            if note["action"] in _REFUSING and not str(note.get("because", "")).startswith(("exempt", "spoken", "unk"))
        }
        changes = []
        for name in asked:
            record = self._records.get(name)
            if record is None:
                record = self._records[name] = _Record(now)
            changes += self._turn(name, record, now)
            if len(record.judged) < MOST_NETWORKS:
                if network not in record.judged or (name in refused and network not in record.refused):
                    record.latest.append(name in refused)
                record.judged.add(network)
                if name in refused:
                    record.refused.add(network)
                    if good:
                        record.good.add(network)
            if not record.demoted and self._too_much(record):
                record.demoted = True
                changes.append(self._change(name, record))
        if changes:
            self.demoted = frozenset(name for name, record in self._records.items() if record.demoted)
        return changes

    def _turn(self, name: str, record: _Record, now: float) -> list[Change]:
        """Close the window if it is over. What happened while a check was not believed never becomes usual."""
        if now - record.since < self._settings.window:
            return []
        changes = []
        judged, refused = len(record.judged), len(record.refused)
        if record.demoted and not self._too_much(record):
            record.demoted = False
            changes.append(self._change(name, record))
        elif not record.demoted and judged:
            rate = refused / judged
            weight = max(MEMORY, judged / (record.history + judged)) if record.history < HISTORY else MEMORY
            record.usual = rate if record.usual is None else record.usual + weight * (rate - record.usual)
            record.history += judged
        record.since = now
        record.judged, record.refused, record.good = set(), set(), set()
        record.latest.clear()
        return changes

    def _too_much(self, record: _Record) -> bool:
        settings = self._settings
        if len(record.good) >= settings.good:
            return True
        if record.usual is None or record.history < HISTORY:
            return False
        suspicious = settings.factor * _odds(max(record.usual, LEAST_RATE / 10))
        for judged, refused in ((len(record.judged), len(record.refused)), (len(record.latest), sum(record.latest))):
            rate = (refused + PRIOR * record.usual) / (judged + PRIOR)
            if refused >= settings.refusals and rate >= LEAST_RATE and _odds(rate) >= suspicious:
                return True
        return False

    @staticmethod
    def _change(name: str, record: _Record) -> Change:
        return Change(name, record.demoted, len(record.refused), len(record.judged), len(record.good), record.usual)


def _odds(rate: float) -> float:
    return rate / (1 - rate) if rate < 1 else float("inf")
