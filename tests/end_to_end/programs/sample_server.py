"""The sample server as a backend of its own process that dies, hangs, comes back on its port, and keeps what it took.

A mail is on disk before it is acknowledged, so what a killed server had acknowledged can still be counted. It is ended
by its process id.
"""

import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Self

from tests.end_to_end.programs.process import HOST, ROOT, Child, answers, free_port

_MESSAGE_ID = re.compile(rb"^Message-ID: (<[^>]+>)", re.MULTILINE | re.IGNORECASE)


class SampleServer:
    """A server that can be started again and again; use it in a `with` statement. It does not run at first."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._directory = directory
        self._starts = 0
        self._child: Child | None = None

    @property
    def name(self) -> str:
        """As the proxy's log calls it."""
        return f"{HOST}:{self.port}"

    def start(self, script: str = "") -> None:
        """Start it, with faults to play (TOML, see smtproxy/sample/script_file.py)."""
        self._starts += 1
        place = self._directory / f"start-{self._starts}"
        place.mkdir()
        (place / "script.toml").write_text(script)
        command = [sys.executable, "-m", "smtproxy.sample", "--port", str(self.port), "--per-source", "0"]
        command += ["--script", str(place / "script.toml"), "--store", str(self._directory / "store")]
        self._child = Child("sample", command, place, cwd=ROOT)
        self._child.wait_ready(lambda: answers(self.port, b""))

    def kill(self) -> None:
        """Kill -9."""
        if self._child is not None:
            self._child.kill()

    def freeze(self) -> None:
        """It stops in the middle of whatever it does; its connections stay, and the kernel takes new ones for it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on as if nothing had been."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.running:
            os.kill(self._child.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self.kill()

    def stored(self) -> Counter[str]:
        """Count the mails by Message-ID, those of all its lives."""
        found: Counter[str] = Counter()
        for path in (self._directory / "store").glob("*.eml"):
            match = _MESSAGE_ID.search(path.read_bytes())
            found[match[1].decode() if match else path.name] += 1
        return found
