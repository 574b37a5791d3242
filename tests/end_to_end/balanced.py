"""Two proxies behind HAProxy with one store, as `deploy/balanced` has them; a proxy and the store are killed.

`python -m tests.end_to_end.balanced --messages 2000` prints the account. What must hold: clients keep their addresses,
every acknowledged mail is stored, nothing is refused for good, and who has to try again was in a session of the proxy
that was killed. The store is missed by nobody. What differs from what lies there are addresses, ports, directories, and
how long the store may take.
"""

import argparse
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.end_to_end.disturbances import SLOW, Account, doubts
from tests.end_to_end.programs.haproxy import Haproxy
from tests.end_to_end.programs.process import HOST, ROOT, free_port, wait_until
from tests.end_to_end.programs.redis import Redis
from tests.end_to_end.programs.smtp_source import Load, Outcome, send
from tests.end_to_end.programs.smtproxy import Line, Smtproxy
from tests.end_to_end.programs.taker import Taker
from tests.end_to_end.retrying import PATIENCE, Ledger, sending

EXAMPLE = ROOT / "deploy" / "balanced"
BALANCER = "127.0.0.9"
"""Where HAProxy connects from; its clients come from HOST."""
NAMES = ("proxy-a", "proxy-b")
WORKERS = 2
"""Of each."""
SENDERS = 8
MAILS = 3
"""Mails of a session, if nothing comes between."""


def put(text: str, old: str, new: str) -> str:
    """Put something in the place of what has to stand in a text."""
    if old not in text:
        raise ValueError(f"{EXAMPLE}: {old!r} is not there any more")
    return text.replace(old, new)


@dataclass
class Site:
    """All of it, running; use it in a `with` statement."""

    directory: Path
    backend: Taker
    stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        """Start everything: the store first, HAProxy last."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.password = (EXAMPLE / "valkey.password").read_text().strip()
        file = self.directory / "valkey.conf"
        file.write_text(put((EXAMPLE / "valkey.conf").read_text(), "dir /data", f"dir {self.directory}"))
        self.store = self.stack.enter_context(Redis(self.directory / "store", configuration=file))
        self.proxies = {name: self.stack.enter_context(self._proxy(name)) for name in NAMES}
        text = (EXAMPLE / "haproxy.cfg").read_text()
        for name, address in zip(NAMES, ("172.30.25.11:2525", "172.30.25.12:2525"), strict=True):
            text = put(text, address, f"{HOST}:{self.proxies[name].port}")
        text = put(text, "default-server ", f"default-server source {BALANCER} ")
        text = put(text, "maxconn 30000", "maxconn 1000")  # machines of tests allow fewer descriptors
        self.balancer = self.stack.enter_context(Haproxy(self.directory / "balancer", text))
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def _proxy(self, name: str) -> Smtproxy:
        text = (EXAMPLE / "config.toml").read_text()
        text = put(text, "0.0.0.0:2525", f"{HOST}:{free_port()}")
        text = put(text, "172.30.25.2", BALANCER)
        text = put(text, "10.0.0.10:25", f"{HOST}:{self.backend.port}")
        text = put(text, "172.30.25.3:6379", f"{HOST}:{self.store.port}")
        text = put(text, 'workers = "auto"', f"workers = {WORKERS}")
        # Everything shares one small machine: with the 50 ms that are usual some operation comes too late now and then,
        # and for a second its worker counts for itself.
        text = put(text, 'kind = "valkey"', 'kind = "valkey"\ntimeout = "5s"')
        # Clients of this machine are to be strangers, and nobody asks the name servers of this machine.
        text = f'default_exemptions = false\n{text}\n[dns]\nservers = ["{HOST}:9"]\n'
        place = self.directory / name
        place.mkdir(exist_ok=True)
        (place / "valkey.password").write_text(f"{self.password}\n")
        # A bare connection is not the balancer: it is served as any client, without a header.
        return Smtproxy(place, text)

    def lines(self, event: str, name: str | None = None) -> list[Line]:
        """Log lines of one proxy, or of both; those of sessions without HAProxy's own checks."""
        names = NAMES if name is None else (name,)
        found = [line for one in names for line in self.proxies[one].lines(event)]
        return [line for line in found if event != "session" or line.get("client") != BALANCER]

    def deliveries(self) -> float:
        """Return how many mails of the clients' network the store knows of."""
        kept = self.store.ask("GET smtproxy:{1/delivered/127.0.0.0/24}:c", self.password)
        return float(kept.split()[0]) if kept else 0.0

    def alone(self, name: str) -> int:
        """Return how many workers of a proxy go on without the store."""
        return len(self.lines("store_down", name)) - len(self.lines("store_up", name))

    def end(self) -> list[Line]:
        """End what still runs, and return all lines."""
        self.balancer.child.stop()
        for proxy in self.proxies.values():
            if proxy.child.running:
                proxy.terminate()
        return [line for proxy in self.proxies.values() for line in proxy.lines()]


@dataclass(frozen=True, slots=True)
class Report:
    """What was seen."""

    quiet: Outcome
    """Of smtp-source, before anything was killed."""
    shares: dict[str, int]
    """Of these mails, how many each proxy delivered."""
    clients: set[tuple[object, object]]
    """Their clients, and the balancers, in the log."""
    operations: float
    """Of the store, for each of these sessions."""
    account: Account
    ledger: Ledger
    trouble: list[str]
    """Why clients had to try again, besides the end of their own session with the proxy that was killed."""
    endings: dict[str, set[str]]
    """How sessions ended at each proxy."""
    events: set[str]
    """Of the proxy that lived on."""

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {share}" for name, share in self.shares.items())
        return "\n".join(
            [
                f"smtp-source: {shares} mails, {self.operations:.2f} operations of the store a session",
                str(self.account),
                f"  tried again: {dict(self.ledger.deferred)}; endings: {self.endings}",
                *(f"  TROUBLE: {what}" for what in self.trouble),
            ]
        )


def _taken(waiting: deque[str]) -> Iterator[str]:
    while waiting:
        yield waiting.popleft()


def run(directory: Path, messages: int) -> Report:
    """Send mails to both; then as many again, during which a proxy and then the store are killed."""
    with Taker(SLOW) as backend, Site(directory, backend) as site:
        before = site.store.calls(site.password)
        load = Load(messages=messages, sessions=SENDERS, octets=500)
        quiet = send(load, site.balancer.port)
        wait_until(lambda: len(site.lines("message")) >= messages, 20, "no line for each mail")
        # What is held back for a second is on its way, too.
        shares = {name: len(site.lines("message", name)) for name in NAMES}
        # More than one machine has had. Not all: who does not reach the store at once counts for itself until it does.
        wait_until(lambda: site.deliveries() > max(shares.values()), 20, "the machines do not count together")
        operations = (site.store.calls(site.password) - before) / messages
        clients = {(line["client"], line["proxy"]) for line in site.lines("message")}

        sent = frozenset(f"<{number}@source.example>" for number in range(messages))
        waiting = deque(sent)
        started = time.monotonic()
        with sending(site.balancer.port, [_taken(waiting) for _ in range(SENDERS)], mails_a_session=MAILS) as ledger:
            wait_until(lambda: len(ledger.acknowledged) >= messages // 3, PATIENCE, "a third of the mails")
            site.proxies[NAMES[0]].kill()
            wait_until(lambda: len(ledger.acknowledged) >= 2 * messages // 3, PATIENCE, "two thirds of the mails")
            site.store.kill()
            wait_until(lambda: site.alone(NAMES[1]) == WORKERS, 20, "nobody has noticed that the store is gone")
        seconds = time.monotonic() - started
        lines = site.end()
    found, reasons = doubts(lines)
    stored = backend.stored()
    stored.pop("", None)  # smtp-source's own
    account = Account("kill -9 of a proxy, then of the store", sent, ledger, stored, found, reasons, 1, seconds)
    lost = ledger.deferred.total()
    trouble = [f"{why} {code}: {times}" for (why, code), times in ledger.deferred.items() if code]
    trouble += [f"{lost} sessions lost, {SENDERS} were open"] * (lost > SENDERS)
    endings = {name: {str(line["ended"]) for line in site.lines("session", name)} for name in NAMES}
    events = {str(line["event"]) for line in site.proxies[NAMES[1]].lines()}
    return Report(quiet, shares, clients, operations, account, ledger, trouble, endings, events)


def main(arguments: list[str] | None = None) -> int:
    """Print the account; exit status 1 if it does not balance."""
    parser = argparse.ArgumentParser(prog="balanced", description=__doc__)
    parser.add_argument("--messages", type=int, default=2000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="smtproxy-balanced-") as name:
        report = run(Path(name), options.messages)
    print(report, flush=True)
    return 1 if report.trouble or report.account.violations() else 0


if __name__ == "__main__":
    sys.exit(main())
