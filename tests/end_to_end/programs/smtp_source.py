"""Postfix's smtp-source: sends many mails as fast as the server takes them, and counts what went wrong.

It must never count a mail as accepted that the server did not accept: without `keep_going` the first unexpected reply
is an error.
"""

import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.end_to_end.programs.process import HOST, ProgramError, find_program, on_cores

_COMPLAINT = re.compile(r"^smtp-source: (?:warning|fatal|error|panic): (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Load:
    """What to send. `recipient` gets the number of the mail in front when `numbered`."""

    messages: int
    sessions: int = 1
    octets: int = 4096
    recipient: str = "load@example.org"
    sender: str = "source@example.net"
    recipients: int = 1
    numbered: bool = True
    same_connection: bool = False
    keep_going: bool = False

    def expected(self) -> list[str]:
        """The recipients of a numbered load with one recipient each: 1load@..., 2load@..., ..."""
        return [f"{number}{self.recipient}" for number in range(1, self.messages + 1)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a load: wall-clock seconds, exit status, and each thing that went wrong in smtp-source's words."""

    seconds: float
    status: int
    failures: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """All mails were accepted."""
        return self.status == 0 and not self.failures


def arguments(load: Load) -> list[str]:
    """Return the options of smtp-source for a load."""
    options = ["-s", str(load.sessions), "-m", str(load.messages), "-l", str(load.octets), "-t", load.recipient]
    options += ["-f", load.sender, "-r", str(load.recipients), "-M", "source.example.net"]
    switches = {"-N": load.numbered, "-d": load.same_connection, "-A": load.keep_going}
    return options + [switch for switch, wanted in switches.items() if wanted]


def send(load: Load, port: int, *, patience: float = 120, cores: Sequence[int] = ()) -> Outcome:
    """Send a load and wait for its end. Raises ProgramError when smtp-source does not end within `patience` seconds."""
    command = [find_program("smtp-source", "postfix"), *arguments(load), f"inet:{HOST}:{port}"]
    begin = time.monotonic()
    try:
        with on_cores(cores):
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=patience, check=False
            )
    except subprocess.TimeoutExpired:
        raise ProgramError(f"smtp-source did not end within {patience:g} s: {load}") from None
    failures = tuple(_COMPLAINT.findall(done.stderr))
    return Outcome(time.monotonic() - begin, done.returncode, failures)
