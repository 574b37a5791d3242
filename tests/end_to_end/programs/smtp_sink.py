"""Postfix's smtp-sink: a fast server that takes every mail, and on request keeps each one in a file of its own.

What it keeps is evidence of what a backend was given, so nothing here may ever change or remove a kept mail.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.end_to_end.programs.process import HOST, Child, answers, find_program, free_port, on_cores, open_to_servants

SESSIONS = 1024
"""Connections it takes at once; more wait in the listen queue."""

SERVANT = "nobody"
"""It refuses to run as root."""


@dataclass(frozen=True, slots=True)
class SunkMail:
    """One mail as smtp-sink wrote it: its own X- fields first, then what it got."""

    text: str

    def _fields(self, name: str) -> list[str]:
        head = self.text.partition("\n\n")[0]
        return [line.partition(": ")[2] for line in head.splitlines() if line.startswith(name + ":")]

    @property
    def mail_arguments(self) -> str:
        """What stood behind `MAIL FROM:`."""
        return self._fields("X-Mail-Args")[0]

    @property
    def recipient_arguments(self) -> list[str]:
        """What stood behind each `RCPT TO:`, in order."""
        return self._fields("X-Rcpt-Args")

    @property
    def content(self) -> str:
        """The mail itself: behind smtp-sink's own fields and its Received field, before the line end it adds."""
        lines = self.text.removesuffix("\n").split("\n")
        start = next(number for number, line in enumerate(lines) if line.startswith("Received:")) + 1
        while lines[start].startswith("\t"):
            start += 1
        return "\n".join(lines[start:])


def recipient_ids(arguments: Sequence[str]) -> list[str]:
    """Take the mailboxes out of what stood behind RCPT TO: they carry the unique number of smtp-source -N."""
    return [argument.partition("<")[2].partition(">")[0] for argument in arguments]


class SmtpSink:
    """A running smtp-sink; use it in a `with` statement."""

    def __init__(
        self, directory: Path, *, keep: bool = False, options: Sequence[str] = (), cores: Sequence[int] = ()
    ) -> None:
        program = find_program("smtp-sink", "postfix")
        self.port = free_port()
        self.mail_directory = open_to_servants(directory / "sunk")
        command = [program, *(["-u", SERVANT] if os.geteuid() == 0 else []), *options]
        if keep:
            command += ["-d", f"{self.mail_directory}/mail."]
        with on_cores(cores):
            self.child = Child("smtp-sink", [*command, f"{HOST}:{self.port}", str(SESSIONS)], directory)
        self.child.wait_ready(lambda: answers(self.port, b"220"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()

    def mails(self) -> list[SunkMail]:
        """Return all mails kept so far. The file of a mail that is under way is there until its connection is lost."""
        for _ in range(2):
            # Its loop serves a batch of events at a time: a second greeting comes after every loss before the first.
            if not answers(self.port, b"220"):
                raise self.child.complain("no greeting")
        return [SunkMail(path.read_text("utf-8", "surrogateescape")) for path in sorted(self.mail_directory.iterdir())]

    def stored(self) -> Counter[str]:
        """Count how often each recipient (unique with smtp-source -N) was given a mail."""
        return Counter(recipient for mail in self.mails() for recipient in recipient_ids(mail.recipient_arguments))
