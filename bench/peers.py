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
from tests.end_to_end.programs.smtproxy import Plan, Setting, Smtproxy

DIRECT = "direct"
POSTFIX = "Postfix before-queue"
HAPROXY = "haproxy tcp"
AUTO = "smtproxy"
STREAM = "smtproxy stream"
HOLD = "smtproxy hold"
COLD = "smtproxy cold"
TWO = "smtproxy, 2 workers"


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


Files: TypeAlias = "tuple[Path, Path] | None"
"""Certificate chain and key; None: no TLS."""
Start: TypeAlias = Callable[[Path, int, Sequence[int], Files], "Postfix | Haproxy | Smtproxy"]


def _smtproxy(*, body: str = "auto", warm: bool = True, workers: int = 1) -> Start:
    """All defaults, but for the way bodies travel, whether backend connections are kept warm, and the workers."""

    def start(directory: Path, backend: int, cores: Sequence[int], tls: Files) -> Smtproxy:
        listener: dict[str, Setting] = {} if body == "auto" else {"body": body}
        if tls is not None:
            listener["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
        settings: dict[str, Setting] = {} if warm else {"idle": {"connections": 0, "seconds": 1}}
        plan = Plan([f"127.0.0.1:{backend}"], listener, settings, {"workers": workers})
        return Smtproxy(directory, plan, cores=cores)

    return start


STARTS: dict[str, Start] = {
    POSTFIX: lambda directory, backend, cores, tls: Postfix(directory, proxy_to=backend, tls=tls, cores=cores),
    HAPROXY: lambda directory, backend, cores, _: Haproxy(directory, backend, cores=cores),
    AUTO: _smtproxy(),
    STREAM: _smtproxy(body="stream"),
    HOLD: _smtproxy(body="hold"),
    COLD: _smtproxy(warm=False),
    TWO: _smtproxy(workers=2),
}


def start(
    names: Sequence[str], directory: Path, backend: int, pins: Pinning, stack: ExitStack, tls: Files = None
) -> Field:
    """Start the named peers in front of the backend; `stack` ends them. Which of them can speak TLS then do."""
    running = Field({DIRECT: Peer(DIRECT, backend)})
    for number, name in enumerate(names):
        try:
            program = STARTS[name](directory / f"peer-{number}", backend, pins.proxy, tls)
        except ProgramError as error:
            running.missing[name] = str(error)
        else:
            stack.push(program)
            running.peers[name] = Peer(name, program.port, program.pid)
    return running
