"""A load during which the proxy is reloaded, ended or killed, and the ledger of clients that try again.

`python -m tests.end_to_end.disturbances --messages 5000` prints the account of each disturbance. What must hold: every
acknowledged mail is stored, no mail is refused for good, and a mail has no more copies than the log has reasons for:
lines with `outcome = "unknown"` or `client_heard = false`, and commits whose worker did not live to write how they
ended. All three sides know a mail by its Message-ID; none takes it from another one.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.programs.process import free_port, wait_until
from tests.end_to_end.programs.smtproxy import Line, Plan, Smtproxy
from tests.end_to_end.programs.taker import Taker
from tests.end_to_end.retrying import PATIENCE, Ledger, sending

WORKERS = 2
SENDERS = 8
MAILS = 3
"""Mails of a session, if nothing comes between."""
TIMES = 3
"""How often the load is disturbed: at equal parts of it."""
SLOW = 0.01
"""Seconds between storing a mail and saying so: the moment in which a kill makes a copy."""


@dataclass(frozen=True, slots=True)
class Account:
    """One disturbed load: what the clients were told, what the server has, what the log says."""

    disturbance: str
    sent: frozenset[str]
    ledger: Ledger
    stored: Counter[str]
    doubts: Counter[str]
    """Message-ID -> how many more copies the log has a reason for."""
    reasons: Mapping[str, int]
    disturbed: int
    seconds: float

    def violations(self) -> list[str]:
        """Return each way in which the three sides disagree."""
        told = self.ledger
        found = {
            "never acknowledged": sorted(self.sent - told.acknowledged),
            "acknowledged and not stored": sorted(told.acknowledged - set(self.stored)),
            "refused for good": told.refused,
            "more copies than the log explains": sorted(
                one for one, copies in self.stored.items() if copies - 1 > self.doubts[one]
            ),
        }
        return [f"{what}: {len(names)}: {', '.join(names[:5])}" for what, names in found.items() if names]

    def __str__(self) -> str:
        copies = sum(self.stored.values())
        reasons = ", ".join(f"{name} {count}" for name, count in self.reasons.items())
        told, again = self.ledger, self.ledger.deferred.total()
        return "\n".join(
            [
                f"{self.disturbance}: {self.disturbed} times in {self.seconds:.1f} s",
                f"  sent {len(self.sent)}, acknowledged {len(told.acknowledged)}, tried again {again} times",
                f"  stored {len(self.stored)}, copies beyond one {copies - len(self.stored)}; the log: {reasons}",
                *(f"  VIOLATION: {what}" for what in self.violations()),
            ]
        )


class Course:
    """The proxy in the course of a load; restarts it on the same port, with a log of its own for each start."""

    def __init__(self, directory: Path, backend: Taker) -> None:
        self._directory = directory
        self._plan = Plan(
            [f"127.0.0.1:{backend.port}"],
            listener={"bind": [f"127.0.0.1:{free_port()}"]},
            server={"workers": WORKERS},
        )
        self._proxies: list[Smtproxy] = []
        self.start()

    @property
    def proxy(self) -> Smtproxy:
        """The one that runs, or ran last."""
        return self._proxies[-1]

    def start(self) -> None:
        """Start it, once more maybe."""
        self._proxies.append(Smtproxy(self._directory / f"start-{len(self._proxies)}", self._plan))

    def reload(self) -> None:
        """SIGHUP; wait until the new workers serve."""
        reloads = len(self.proxy.lines("reloaded"))
        self.proxy.reload(self._plan)
        self.proxy.wait_lines("reloaded", reloads + 1)

    def restart(self) -> None:
        """SIGTERM, and a new one. An exit status other than 0 is an error."""
        status = self.proxy.terminate()
        if status:
            raise self.proxy.child.complain(f"ended with status {status}")
        self.start()

    def kill_worker(self) -> None:
        """Kill -9 for one worker; wait until another one has taken its place."""
        started = len(self.proxy.lines("worker_started"))
        os.kill(self.proxy.workers[0], signal.SIGKILL)
        self.proxy.wait_lines("worker_started", started + 1)

    def kill(self) -> None:
        """Kill -9 for all processes at once, and a new start."""
        self.proxy.kill()
        self.start()

    def end(self) -> list[Line]:
        """End it, and return the lines of all logs."""
        self.proxy.terminate()
        return [line for proxy in self._proxies for line in proxy.lines()]


DISTURBANCES: Mapping[str, Callable[[Course], None]] = {
    "SIGHUP": Course.reload,
    "SIGTERM": Course.restart,
    "kill -9 of a worker": Course.kill_worker,
    "kill -9 of all": Course.kill,
}


def doubts(lines: list[Line]) -> tuple[Counter[str], dict[str, int]]:
    """Return for each Message-ID how many copies may be beyond one, and how many there are for each reason."""
    ended = {line["transaction"] for line in lines if line["event"] == "message"}
    over = {line["session"] for line in lines if line["event"] == "session"}
    # The line of a message goes before its reply: who is killed between the two has told the log alone.
    last = {line["session"]: line for line in lines if line["event"] == "message" and line["session"] not in over}
    reasons = {
        "unknown": [line for line in lines if line.get("outcome") == "unknown"],
        "client_heard = false": [line for line in lines if line.get("client_heard") is False],
        "commit without message": [
            line for line in lines if line["event"] == "commit" and line["transaction"] not in ended
        ],
        "last message of a session that was killed": [
            line for line in last.values() if line["outcome"] == "delivered" and line.get("client_heard") is not False
        ],
    }
    found = Counter(str(line["message_id"]) for those in reasons.values() for line in those)
    return found, {reason: len(those) for reason, those in reasons.items()}


def _taken(waiting: deque[str]) -> Iterator[str]:
    """Take what waits, one by one, as others do."""
    with contextlib.suppress(IndexError):
        while True:
            yield waiting.popleft()


def run(directory: Path, disturbance: str, messages: int) -> Account:
    """Send so many mails through a proxy that is disturbed meanwhile, and draw up the account."""
    sent = frozenset(f"<{number}@source.example>" for number in range(messages))
    waiting = deque(sent)
    clients = [_taken(waiting) for _ in range(SENDERS)]
    with Taker(SLOW) as backend:
        course = Course(directory, backend)
        started = time.monotonic()
        with sending(course.proxy.port, clients, mails_a_session=MAILS) as ledger:
            for part in range(1, TIMES + 1):
                enough = messages * part // (TIMES + 1)
                wait_until(lambda: len(ledger.acknowledged) >= enough, PATIENCE, f"{enough} mails")  # noqa: B023
                DISTURBANCES[disturbance](course)
        seconds = time.monotonic() - started
        found, reasons = doubts(course.end())
        return Account(disturbance, sent, ledger, backend.stored(), found, reasons, TIMES, seconds)


def main(arguments: list[str] | None = None) -> int:
    """Print the account of each disturbance; exit status 1 if one does not balance."""
    parser = argparse.ArgumentParser(prog="disturbances", description=__doc__)
    parser.add_argument("--messages", type=int, default=5000)
    options = parser.parse_args(arguments)
    good = True
    with tempfile.TemporaryDirectory(prefix="smtproxy-disturbances-") as name:
        for number, disturbance in enumerate(DISTURBANCES):
            account = run(Path(name) / str(number), disturbance, options.messages)
            print(account, flush=True)
            good = good and not account.violations()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
