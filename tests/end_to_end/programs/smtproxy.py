"""smtproxy itself as a process of its own, with a configuration written for the occasion and its log at hand.

It is started as an administrator starts it, and must never be told anything but by its configuration and signals.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeAlias

from tests.end_to_end.programs.process import HOST, ROOT, Child, ProgramError, answers, on_cores, wait_until

COMMAND = (sys.executable, "-m", "smtproxy.app.cli", "run", "-c")

Setting: TypeAlias = "str | int | bool | Sequence[Setting] | Mapping[str, Setting]"
Settings: TypeAlias = Mapping[str, Setting]
Line: TypeAlias = "dict[str, object]"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be configured besides the necessary: sections of the configuration with their settings."""

    servers: Sequence[str]
    listener: Settings = field(default_factory=dict)
    backend: Settings = field(default_factory=dict)
    server: Settings = field(default_factory=dict)
    bounds: Settings = field(default_factory=dict)
    quotas: Settings = field(default_factory=dict)
    sources: Sequence[Settings] = ()
    """Of recipients."""
    dns: Settings = field(default_factory=lambda: {"servers": [f"{HOST}:9"]})
    """Nobody's port on this machine: no test asks the name servers of its machine."""
    top: str = ""
    """In front of the first table."""
    more: str = ""
    """Whatever else, as it stands in the file."""

    def text(self) -> str:
        """Return the configuration file."""
        server = {"hostname": "mx.example.org"} | dict(self.server)
        listener = {
            "name": "mx",
            "bind": [f"{HOST}:0"],
            "role": "mx",
            "backend": "real",
            "domains": ["example.org"],
        } | dict(self.listener)
        backend = {"servers": self.servers} | dict(self.backend)
        sections = [("[server]", server), ("[[listeners]]", listener), ("[backends.real]", backend)]
        more = [("[bounds]", dict(self.bounds)), ("[quotas]", dict(self.quotas)), ("[dns]", dict(self.dns))]
        sections += [(name, table) for name, table in more if table]
        sections += [("[[recipients.sources]]", dict(table)) for table in self.sources]
        return self.top + "\n".join([*(f"{name}\n{_assignments(settings)}" for name, settings in sections), self.more])


def _assignments(settings: Settings) -> str:
    return "".join(f"{name} = {_toml(value)}\n" for name, value in settings.items())


def _toml(value: Setting) -> str:
    """Write a value as TOML: strings, numbers, truth values and lists as JSON does, tables inline."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, str | int):
        return json.dumps(value)
    return "[" + ", ".join(map(_toml, value)) + "]"


class Smtproxy:
    """A running smtproxy; use it in a `with` statement."""

    def __init__(
        self,
        directory: Path,
        plan: Plan | str,
        *,
        cores: Sequence[int] = (),
        greets: bytes = b"220",
        command: Sequence[str] = COMMAND,
    ) -> None:
        """Start it by this command, and wait until it `greets` so: 220 where its backend can be reached.

        `plan`: or the whole configuration.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.configuration = directory / "config.toml"
        self.configuration.write_text(plan if isinstance(plan, str) else plan.text())
        self._read = 0
        self._rest = b""
        self._lines: list[Line] = []
        with on_cores(cores):
            self.child = Child("smtproxy", [*command, str(self.configuration)], directory, cwd=ROOT)
        self.child.wait_ready(lambda: bool(self.lines("listening")))
        self.port = int(str(self.lines("listening")[0]["address"]).rpartition(":")[2])
        if (
            isinstance(plan, Plan) and plan.listener.get("tls_mode") == "implicit"
        ):  # it says nothing to who speaks in clear text
            self.child.wait_ready(lambda: bool(self.lines("backend_up")))
        else:
            self.child.wait_ready(lambda: answers(self.port, greets))

    @property
    def pid(self) -> int:
        """The root of its process tree."""
        return self.child.pid

    @property
    def workers(self) -> list[int]:
        """The processes that were started to serve sessions and have not been told to be over, oldest first."""
        ended = {line["pid"] for event in ("worker_ended", "worker_died") for line in self.lines(event)}
        return [int(str(line["pid"])) for line in self.lines("worker_started") if line["pid"] not in ended]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()

    def lines(self, event: str | None = None) -> list[Line]:
        """Return the log lines written so far, all or those of one event. A line that is no JSON is a ProgramError."""
        with self.child.output_path.open("rb") as log:
            log.seek(self._read)
            new = log.read()
        self._read += len(new)
        *complete, self._rest = (self._rest + new).split(b"\n")
        for raw in complete:
            try:
                self._lines.append(json.loads(raw))
            except ValueError:
                raise ProgramError(f"smtproxy wrote a log line that is no JSON: {raw!r}") from None
        return [line for line in self._lines if event is None or line.get("event") == event]

    def wait_lines(self, event: str, count: int, patience: float = 20) -> list[Line]:
        """Wait until that many lines of the event are written, and return all there are."""
        wait_until(lambda: len(self.lines(event)) >= count, patience, f"fewer than {count} log lines `{event}`")
        return self.lines(event)

    def reload(self, plan: Plan | str) -> None:
        """Write another configuration and send SIGHUP; do not wait for what comes of it."""
        self.configuration.write_text(plan if isinstance(plan, str) else plan.text())
        os.kill(self.pid, signal.SIGHUP)

    def terminate(self, patience: float = 20) -> int:
        """Send SIGTERM and return the exit status: 0 after a drain."""
        os.kill(self.pid, signal.SIGTERM)
        return self.child.wait_end(patience)

    def kill(self) -> None:
        """Kill -9."""
        self.child.kill()
