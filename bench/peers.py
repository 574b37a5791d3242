"""The servers under test, all started at once and all as their users run them, each pinned to the proxy's core.

A peer that cannot be started is reported as missing with the reason, and must never be replaced by a stored number.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tests.end_to_end.programs.haproxy import Haproxy
from tests.end_to_end.programs.postfix import Postfix
from tests.end_to_end.programs.process import ProgramError
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

DIRECT = "direct"
POSTFIX = "Postfix before-queue"
HAPROXY = "haproxy tcp"
AUTO = "smtproxy"
STREAM = "smtproxy stream"
HOLD = "smtproxy hold"


@dataclass(frozen=True, slots=True)
class Pinning:
    """Cores of the load with its sink, and of the proxies; empty where the machine has one core only."""

    load: tuple[int, ...]
    proxy: tuple[int, ...]


def pinning() -> Pinning:
    """Take the first allowed core for load and sink, the last one for the proxy."""
    cores = sorted(os.sched_getaffinity(0))
    return Pinning((cores[0],), (cores[-1],)) if len(cores) > 1 else Pinning((), ())


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to be measured; without a proxy (`direct`) there is no process whose CPU counts."""

    name: str
    port: int
    pid: int | None = None


@dataclass(slots=True)
class Field:
    """All peers that run, and why the others do not."""

    peers: dict[str, Peer] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


Start: TypeAlias = Callable[[Path, int, Sequence[int]], "Postfix | Haproxy | Smtproxy"]


def _smtproxy(body: str) -> Start:
    """One worker and all defaults, but for the way bodies travel."""

    def start(directory: Path, backend: int, cores: Sequence[int]) -> Smtproxy:
        listener = {} if body == "auto" else {"body": body}
        return Smtproxy(directory, Plan(servers=[f"127.0.0.1:{backend}"], listener=listener), cores=cores)

    return start


STARTS: dict[str, Start] = {
    POSTFIX: lambda directory, backend, cores: Postfix(directory, proxy_to=backend, cores=cores),
    HAPROXY: lambda directory, backend, cores: Haproxy(directory, backend, cores=cores),
    AUTO: _smtproxy("auto"),
    STREAM: _smtproxy("stream"),
    HOLD: _smtproxy("hold"),
}


def start(names: Sequence[str], directory: Path, backend: int, pins: Pinning, stack: ExitStack) -> Field:
    """Start the named peers in front of the backend; `stack` ends them."""
    running = Field({DIRECT: Peer(DIRECT, backend)})
    for number, name in enumerate(names):
        try:
            program = STARTS[name](directory / f"peer-{number}", backend, pins.proxy)
        except ProgramError as error:
            running.missing[name] = str(error)
        else:
            stack.push(program)
            running.peers[name] = Peer(name, program.port, program.pid)
    return running
