"""CPU time and memory of a whole process tree, from /proc.

It must never count a process that is not below the given one.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from tests.end_to_end.programs.process import descendants

TICKS = os.sysconf("SC_CLK_TCK")
"""Clock ticks a second: the grain of CPU times, 10 ms as a rule."""


def cpu_seconds(pid: int) -> float:
    """User and system time of the process, all its descendants, and all children that any of them has waited for."""
    ticks = 0
    for process in descendants(pid):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])  # proc(5): fields 14 to 17; two stand before the bracket
    return ticks / TICKS


def core_seconds(cores: Sequence[int]) -> float:
    """Time in which these cores did anything for anybody, and that which a hypervisor kept from them; none: all cores.

    proc(5), /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
    """
    names = {f"cpu{core}" for core in cores} or {"cpu"}
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in names:
            ticks += sum(int(field) for place, field in enumerate(fields[:8]) if place not in (3, 4))
    return ticks / TICKS


def settled_cpu_seconds(pid: int) -> float:
    """The same, once it has stopped growing (two seconds at most): work behind the last reply counts."""
    end = time.monotonic() + 2
    before = cpu_seconds(pid)
    while time.monotonic() < end:
        time.sleep(0.05)
        now = cpu_seconds(pid)
        if now == before:
            break
        before = now
    return before


def memory_kib(pid: int) -> int:
    """Proportional set size of the tree in KiB: pages that several processes share are shared out among them."""
    total = 0
    for process in descendants(pid):
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return total
