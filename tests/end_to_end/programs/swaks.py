"""swaks, the mail administrator's test client: one session with all its lines. It must only ever talk to loopback."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from tests.end_to_end.programs.process import HOST, find_program


@dataclass(frozen=True, slots=True)
class Transcript:
    """How a session went: exit status (0: the mail was accepted) and all lines of both sides."""

    status: int
    text: str

    def replies(self) -> list[str]:
        """Return the server's lines, bad ones included."""
        return [line[4:] for line in self.text.splitlines() if line.startswith(("<-  ", "<** "))]


def run(port: int, options: Sequence[str], *, patience: float = 30) -> Transcript:
    """Run one session of swaks with a server on loopback."""
    command = [
        find_program("swaks", "swaks"),
        "--server",
        HOST,
        "--port",
        str(port),
        "--helo",
        "swaks.example.net",
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=patience, check=False)
    return Transcript(done.returncode, done.stdout + done.stderr)
