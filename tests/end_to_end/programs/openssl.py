"""openssl s_client, the administrator's telescope: a session under TLS by a program that shares no code with Python.

It must only ever talk to loopback.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from tests.end_to_end.programs.process import HOST, find_program


@dataclass(frozen=True, slots=True)
class Seen:
    """How a session went: what the server said under TLS, and what openssl said of the connection."""

    status: int
    heard: str
    about: str

    @property
    def codes(self) -> list[int]:
        """The code of each reply's last line."""
        return [int(line[:3]) for line in self.heard.splitlines() if line[3:4] == " "]


def connect(port: int, options: Sequence[str], said: bytes, *, patience: float = 30) -> Seen:
    """Run one session: shake hands (behind STARTTLS with `-starttls smtp`), say everything at once, hear to the end."""
    command = [find_program("openssl", "openssl"), "s_client", "-connect", f"{HOST}:{port}"]
    command += ["-brief", "-nocommands", "-ign_eof", *options]
    done = subprocess.run(command, input=said, capture_output=True, timeout=patience, check=False)
    return Seen(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
