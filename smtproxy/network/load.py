"""How busy this process is: measured once a second, told to the overload, which says what follows.

The lag of the event loop is how late this task itself is woken. Memory is what belongs to this process alone, beside
what it may have with its siblings: a limit of its control group (cgroup v2: systemd's MemoryMax, a container's), or all
there is. What others on the machine take does not count: fewer clients of ours would not give it back.

It decides nothing. A measure that cannot be had is None, which is no reason for anything.
"""

import math
import os
import resource
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from smtproxy.policy.overload import Overload, Reading
from smtproxy.session.records import Event, Journal

INTERVAL = 1.0
"""Seconds between two readings."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Waiter(Protocol):
    """Who may be waiting for its client: a session."""

    def look_at_clock(self) -> None:
        """How long clients are waited for has changed."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is measured of the process."""

    memory: Callable[[], float | None]
    """Share of the memory it may have."""
    descriptors: Callable[[], int | None]
    """Those that are free."""


async def watch_load(overload: Overload, sessions: Collection[Waiter], gauges: Gauges, journal: Journal) -> None:
    """Measure for ever; log each change of level, and let sessions that wait already know of it."""
    while True:
        due = trio.current_time() + INTERVAL
        await trio.sleep_until(due)
        now = trio.current_time()
        reading = Reading(now, len(sessions), now - due, gauges.memory(), gauges.descriptors())
        hurried = overload.stress.on
        change = overload.take(reading)
        if overload.stress.on is not hurried:
            for session in tuple(sessions):
                session.look_at_clock()
        if change is not None:
            fields = {
                "pid": os.getpid(),
                "state": change.level.word,
                "before": change.before.word,
                "because": change.because.value,
                "sessions": reading.sessions,
                "room": overload.room,
                "lag": round(reading.lag, 3),
                "memory": None if reading.memory is None else round(reading.memory, 3),
                "descriptors": reading.descriptors,
                "turned_away": change.turned_away,
            }
            journal.record(Event.OVERLOAD, fields)


def gauges_of(processes: int, root: Path = Path("/")) -> Gauges:
    """Return the gauges of this process, one of so many that share the memory; `root`: where proc and sys are."""
    limit = memory_limit(root)

    def memory() -> float | None:
        own = own_memory(root)
        return None if own is None or not limit else own * processes / limit

    return Gauges(memory, lambda: free_descriptors(root))


def own_memory(root: Path = Path("/")) -> int | None:
    """Return the octets that belong to this process alone: what it shares with its siblings is counted nowhere."""
    with suppress(OSError, ValueError, IndexError):
        _, resident, shared, *_ = (root / "proc/self/statm").read_text().split()
        return (int(resident) - int(shared)) * _PAGE
    return None


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the octets that all processes beside this one may have together; None: nobody knows.

    The least of the limits of its control group and those above it, and of what the machine has. proc(5), and
    https://docs.kernel.org/admin-guide/cgroup-v2.html, memory.max.
    """
    limits = []
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text().splitlines()
        limits.append(1024 * int(next(line for line in lines if line.startswith("MemTotal:")).split()[1]))
    for group in _control_groups(root):
        with suppress(OSError, ValueError):  # "max", or the root, which has none
            limits.append(int((group / "memory.max").read_text()))
    return min(limits, default=None)


def processors(root: Path = Path("/")) -> int:
    """Return how many processors this process may use: its affinity, or the least quota of its control groups, if less.

    A part of a processor counts as one. As above, cpu.max: microseconds of processor time, and of time.
    """
    most = len(os.sched_getaffinity(0))
    for group in _control_groups(root):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = map(int, (group / "cpu.max").read_text().split())
            most = min(most, max(1, math.ceil(quota / period)))
    return most


def _control_groups(root: Path) -> Iterator[Path]:
    """Return the directory of our control group, and of those above it. Nothing under cgroup v1."""
    mount = root / "sys/fs/cgroup"
    with suppress(OSError, StopIteration):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        group = mount / next(line for line in lines if line.startswith("0::")).removeprefix("0::").strip("/")
        yield from (one for one in (group, *group.parents) if one.is_relative_to(mount))


def free_descriptors(root: Path = Path("/")) -> int | None:
    """Return how many descriptors may still be opened; None: there is no limit, or nobody knows.

    The kernel tells their number by the size of the directory since Linux 6.2; before that it is 0, and nobody counts
    ten thousand of them once a second.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return None
    with suppress(OSError):
        if used := (root / "proc/self/fd").stat().st_size:
            return limit - used
    return None
