"""The command `smtproxy recipients`: asks the workers that run, and without one the sources themselves."""

import sys

import trio

from smtproxy.app.admin import Rows, answer, ask_workers, written
from smtproxy.app.config import Config
from smtproxy.app.log.silence import SILENCE
from smtproxy.app.lookups import recipients

FAILED = 1
"""Exit status where nobody could be asked."""
MISTAKE = 2


def command(config: Config, word: str, address: str) -> int:
    """Run it; return the exit status."""
    if word != "refresh" and config.recipients.spelling.read(address) is None:
        sys.stderr.write(f"smtproxy: {address!r} is no address; it must be like user@example.org\n")
        return MISTAKE
    state = config.server.state
    answers = {} if state is None else ask_workers(state, "recipients", word, address)
    why = "server.state is not set, where workers listen" if state is None else f"no worker listens in {state}"
    if not answers and word == "show":
        answers = {f"{why}, so the sources themselves were asked": trio.run(_ask_sources, config, address)}
    for name, rows in answers.items():
        sys.stdout.write(f"{name}\n{written(rows)}")
    if not answers:
        sys.stderr.write(f"smtproxy: there is no worker to be asked: {why}\n")
        return FAILED
    return 0


async def _ask_sources(config: Config, address: str) -> Rows:
    # Without the directory for state: a copy of root's would be one that the service cannot replace.
    known = recipients(config, SILENCE, None)
    try:
        await known.start()
        return await answer(known, ("show", address))
    finally:
        await known.close()
