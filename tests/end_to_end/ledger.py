"""Counts mails by unique id on their way through the proxy: what was acknowledged must be stored, and nothing twice.

`python -m tests.end_to_end.ledger --messages 5000` prints the account for smtp-sink and for a real Postfix. The ids are
the recipients that `smtp-source -N` numbers. It must never take an id from the side it is to be compared with.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.programs.postfix import Postfix
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtp_source import Load, Outcome, send
from tests.end_to_end.programs.smtproxy import Line, Plan, Smtproxy


@dataclass(frozen=True, slots=True)
class Account:
    """One load: what the sender was told, what the backend has, what the proxy wrote down."""

    backend: str
    load: Load
    outcome: Outcome
    stored: Counter[str]
    sessions: int
    commits: int
    delivered: Counter[str]
    """Recipients of the `message` lines with `outcome = "delivered"`."""

    @property
    def acknowledged(self) -> set[str]:
        """What the sender was told is in good hands. Known by id only for a load without failures: then it is all."""
        return set(self.load.expected()) if self.outcome.clean else set()

    def violations(self) -> list[str]:
        """Return each way in which the three sides disagree."""
        twice = [name for name, times in self.stored.items() if times > 1]
        found = {
            "smtp-source met failures": list(self.outcome.failures) or [f"status {self.outcome.status}"],
            "acknowledged and not stored": sorted(self.acknowledged - set(self.stored)),
            "stored and not sent": sorted(set(self.stored) - set(self.load.expected())),
            "stored more than once": sorted(twice),
            "stored and not logged as delivered, or the reverse": sorted(
                name for name in {*self.stored, *self.delivered} if self.stored[name] != self.delivered[name]
            ),
            "commit lines": [] if self.commits == self.load.messages else [str(self.commits)],
        }
        if self.outcome.clean:
            del found["smtp-source met failures"]
        return [f"{what}: {len(names)}: {', '.join(names[:5])}" for what, names in found.items() if names]

    def __str__(self) -> str:
        rate = self.load.messages / self.outcome.seconds
        copies, most = sum(self.stored.values()), max(self.stored.values(), default=0)
        lines = [
            f"{self.backend}: smtp-source -s {self.load.sessions} -m {self.load.messages} -N",
            f"  acknowledged {len(self.acknowledged)}, stored {copies}, ids {len(self.stored)}, at most {most} of one",
            f"  log: {self.sessions} session, {self.commits} commit, {sum(self.delivered.values())} delivered",
            f"  {self.outcome.seconds:.1f} s, {rate:.0f} messages/s",
            *(f"  VIOLATION: {what}" for what in self.violations()),
        ]
        return "\n".join(lines)


def recipients(lines: Iterable[Line], outcome: str) -> Counter[str]:
    """Count the recipients of the `message` lines with this outcome."""
    found: Counter[str] = Counter()
    for line in lines:
        listed = line["recipients"]
        if line["outcome"] == outcome and isinstance(listed, list):
            found.update(recipient["to"] for recipient in listed)
    return found


def run(directory: Path, backend: SmtpSink | Postfix, load: Load) -> Account:
    """Send a load through a fresh proxy to the backend and draw up the account."""
    with Smtproxy(directory / "proxy", Plan(servers=[f"127.0.0.1:{backend.port}"])) as proxy:
        outcome = send(load, proxy.port, patience=600)
        if outcome.clean:
            proxy.wait_lines("message", load.messages)
        proxy.terminate()
        sessions = sum(bool(line["transactions"]) for line in proxy.lines("session"))
        commits, messages = proxy.lines("commit"), proxy.lines("message")
    if isinstance(backend, Postfix):
        backend.wait_delivered()
    name = type(backend).__name__
    delivered = recipients(messages, "delivered")
    return Account(name, load, outcome, backend.stored(), sessions, len(commits), delivered)


def main(arguments: list[str] | None = None) -> int:
    """Print both accounts; exit status 1 if one of them does not balance."""
    parser = argparse.ArgumentParser(prog="ledger", description=__doc__)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--sessions", type=int, default=20)
    options = parser.parse_args(arguments)
    load = Load(messages=options.messages, sessions=options.sessions)
    good = True
    with tempfile.TemporaryDirectory(prefix="smtproxy-ledger-") as name:
        directory = Path(name)
        for backend in (lambda: SmtpSink(directory / "sink", keep=True), lambda: Postfix(directory / "postfix")):
            with backend() as running:
                account = run(directory / type(running).__name__, running, load)
            print(account, flush=True)
            good = good and not account.violations()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
