"""What the numbers were measured on: versions, cores, load. It must never read anything but versions and /proc."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.peers import Pinning
from smtproxy import __version__
from tests.end_to_end.programs.process import ProgramError, find_program


def load_average() -> str:
    """Return the load averages of 1, 5 and 15 minutes."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def _first_line(program: str, package: str, *options: str) -> str:
    try:
        command = [find_program(program, package), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except ProgramError as error:
        return str(error)
    return (done.stdout or done.stderr).partition("\n")[0]


def describe(pins: Pinning) -> list[str]:
    """Return lines for the head of the report."""
    model = next(
        (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    place = (
        f"load and sink on core {pins.load[0]}, proxy on core {pins.proxy[0]}" if pins.load else "not pinned: one core"
    )
    haproxy = _first_line("haproxy", "haproxy", "-v")
    return [
        f"{os.cpu_count()} cores ({model}), Linux {platform.release()}; {place}",
        f"smtproxy {__version__}, Python {platform.python_version()}, trio {version('trio')}",
        f"Postfix: {_first_line('postconf', 'postfix', '-d', 'mail_version')}; {haproxy}",
    ]
