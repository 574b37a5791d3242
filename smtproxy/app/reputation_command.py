"""The command `smtproxy reputation`: asks the workers that run. What they remember is in their memory.

All share one memory, so the answer of the first is that of all; all are asked, as each holds back for a moment what it
has counted.
"""

import getpass
import os
import re
import sys
from typing import Final

from smtproxy.app.admin import Rows, ask_workers, written
from smtproxy.app.config import Config
from smtproxy.app.config.units import seconds
from smtproxy.app.penalty_box import key_of, too_long
from smtproxy.policy.reputation import Entry

FAILED: Final = 1
"""Exit status where nobody could be asked."""
MISTAKE: Final = 2
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME: Final = 16
"""Characters of a person's name."""


def command(config: Config, word: str, key: str, lasts: str, reason: str) -> int:
    """Run it; return the exit status. `lasts` and `reason` are those of `block` and `allow`, else empty."""
    try:
        question = _question(word, key, lasts, reason)
    except ValueError as wrong:
        sys.stderr.write(f"smtproxy: {wrong}\n")
        return MISTAKE
    state = config.server.state
    answers = {} if state is None else ask_workers(state, "reputation", *question)
    if not answers:
        why = "server.state is not set, where workers listen" if state is None else f"no worker listens in {state}"
        sys.stderr.write(f"smtproxy: there is no worker to be asked: {why}\n")
        return FAILED
    sys.stdout.write(written(_best(list(answers.values()))))
    if config.store.chosen == "valkey" and word != "show":
        sys.stderr.write("smtproxy: with valkey this holds on this machine alone, until smtproxy ends\n")
    return 0


def _question(word: str, key: str, lasts: str, reason: str) -> list[str]:
    """Return what is to be asked. Raises ValueError, in a person's words."""
    name = key_of(key) if key else ""
    if not lasts:
        return [word, name]
    try:
        period = seconds(lasts)
    except ValueError as wrong:
        raise ValueError(f"--for: {wrong}") from None
    if not (reason.isascii() and (reason.isprintable() or not reason)):
        raise ValueError("--reason: must be printable ASCII: it stands in a reply")
    entry = Entry(word, person(), reason)
    if too_long(entry):
        room = len(entry.reason) - (len(entry.written()) - 64)
        raise ValueError(f"--reason: there is room for {room} characters")
    return [word, name, str(period), entry.by, reason]


def person() -> str:
    """Return the name of who runs the command, behind sudo of who called it."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a number without a name
        name = str(os.getuid())
    return _NO_NAME.sub("_", name)[:_LONGEST_NAME]


def _best(answers: list[Rows]) -> Rows:
    """Return the first answer of a worker that could be asked."""
    return next((one for one in answers if not str(one[0]["says"]).startswith(_NO_ANSWER)), answers[0])


_NO_ANSWER: Final = ("is asked by too many", "cannot be asked", "gave no answer")
