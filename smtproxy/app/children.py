"""Worker processes as their supervisor knows them: how one is made, whether it lives, when the next one may start."""

import os
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from smtproxy.app import signals
from smtproxy.app.control import Line, Order
from smtproxy.app.generation import Generation

FAILED = 1
"""Exit status of a worker that raised something."""
STEADY = 10.0
"""Seconds after which a worker counts as well: if it dies then, another one starts at once."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds until a worker is started that died at once: doubled each time between these two."""


@dataclass(slots=True, eq=False)
class Child:
    """A worker, as its supervisor knows it."""

    pid: int
    row: int
    line: Line
    generation: Generation
    started: float
    beat: float
    """When it gave its last sign of life."""
    ready: bool = False
    told: Order | None = None
    hung: bool = False
    """It was killed because it gave no sign of life."""


@dataclass(slots=True)
class Vacancy:
    """A worker that died, and is to be replaced."""

    due: float
    generation: Generation


@dataclass(slots=True)
class Pause:
    """How long to wait before the next start; grows while workers die young."""

    seconds: float = 0.0

    def after(self, lived: float) -> float:
        """Return the pause after a worker that lived so long."""
        young = lived < STEADY
        pause, self.seconds = (
            (self.seconds, min(max(self.seconds * 2, FIRST_PAUSE), LONGEST_PAUSE)) if young else (0.0, 0.0)
        )
        return pause


def fork(work: Callable[[Line], None]) -> tuple[int, Line]:
    """Start a process that does nothing but this work; -> its id, and the line to it. Raises OSError."""
    ours, theirs = socket.socketpair()
    try:
        with signals.held_back():
            pid = os.fork()
            if pid == 0:
                ours.close()
                _become(lambda: work(Line(theirs)))
    except OSError:  # No memory, or no process left.
        ours.close()
        raise
    finally:
        theirs.close()
    return pid, Line(ours)


def _become(work: Callable[[], None]) -> None:
    status = FAILED
    try:
        signals.ignore()
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - nothing of the parent's stack is to go on in the child
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)
