"""Random unknown recipients against a real slapd: how many reach the backend, and how many known ones are refused.

`python -m tests.end_to_end.unknown_recipients` prints the figures for 20,000 entries: with the directory up, stopped in
the middle, and after a restart of the proxy while it is down. What reached the backend is counted by the backend.
"""

import argparse
import random
import socket
import socketserver
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.end_to_end.programs.process import HOST
from tests.end_to_end.programs.slapd import BASE, PASSWORD, USER, Slapd
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

_GROUP = 100
"""RCPT commands of one write; the replies must fit the client's window."""
_TRANSACTION = 500


class CountingServer(socketserver.ThreadingTCPServer):
    """A backend that takes everybody, as Exchange does, but for those named; it remembers whom it was asked for."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *lacks: str) -> None:
        super().__init__((HOST, 0), _Dialogue)
        self.lacks = lacks
        self.recipients: Counter[str] = Counter()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Dialogue(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """Answer each command with success; nobody sends it a body."""
        self.wfile.write(b"220 backend ESMTP\r\n")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"RCPT" and isinstance(self.server, CountingServer):
                recipient = line.partition(b"<")[2].partition(b">")[0].decode()
                self.server.recipients[recipient] += 1
                if recipient in self.server.lacks:
                    self.wfile.write(b"550 5.1.1 No such user\r\n")
                    continue
            if verb == b"EHLO":
                self.wfile.write(b"250-backend\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n")
            else:
                self.wfile.write(b"221 2.0.0 Bye\r\n" if verb == b"QUIT" else b"250 2.1.5 OK\r\n")
            if verb == b"QUIT":
                return


def records(number: int) -> Iterator[str]:
    """Yield entries of a directory: each has a primary and another address, every tenth is a disabled account."""
    for one in range(number):
        control = 514 if one % 10 == 0 else 512
        yield (
            f"dn: cn=user{one},{BASE}\nobjectClass: exchangeUser\ncn: user{one}\nsn: {one}\n"
            f"userAccountControl: {control}\nproxyAddresses: SMTP:User{one}@example.org\n"
            f"proxyAddresses: smtp:alias{one}@example.org\nproxyAddresses: X500:/o=x/cn=user{one}\n"
        )


def known(number: int) -> list[str]:
    """Return one address of each entry: primary ones and others, in several spellings."""
    forms = ("user{}@example.org", "ALIAS{}@Example.ORG", "User{}@example.org")
    return [forms[one % len(forms)].format(one) for one in range(number)]


def unknown(number: int, seed: int = 1) -> list[str]:
    """Return addresses that nobody has, near to those that somebody has, and far from them."""
    lots = random.Random(seed)
    near = (f"user{lots.randrange(10**6, 10**9)}@example.org" for _ in range(number - number // 2))
    far = (f"{lots.getrandbits(60):x}z@example.org" for _ in range(number // 2))
    return [*near, *far]


def ask(port: int, recipients: Sequence[str]) -> Counter[int]:
    """Say RCPT for each, and count the codes that are heard."""
    codes: Counter[int] = Counter()
    for start in range(0, len(recipients), _TRANSACTION):
        with socket.create_connection((HOST, port), 60) as connection, connection.makefile("rb") as replies:
            _codes(replies, 1)
            connection.sendall(b"EHLO client.example\r\n")
            _codes(replies, 1)
            connection.sendall(b"MAIL FROM:<sender@example.com>\r\n")
            _codes(replies, 1)
            part = recipients[start : start + _TRANSACTION]
            for first in range(0, len(part), _GROUP):
                group = part[first : first + _GROUP]
                connection.sendall("".join(f"RCPT TO:<{one}>\r\n" for one in group).encode())
                codes.update(_codes(replies, len(group)))
            connection.sendall(b"QUIT\r\n")
            _codes(replies, 1)
    return codes


def _codes(replies: Iterator[bytes], number: int) -> list[int]:
    found: list[int] = []
    for line in replies:
        if line[3:4] != b"-":
            found.append(int(line[:3]))
            if len(found) == number:
                return found
    raise ConnectionError(f"{number - len(found)} replies are missing")


@dataclass(slots=True)
class Figures:
    """What was seen of one phase."""

    phase: str
    unknown: Counter[int]
    known: Counter[int]
    reached: int
    """Unknown recipients that the backend was asked for."""
    seconds: float = field(default=0.0)

    @property
    def violations(self) -> int:
        """Unknown ones that reached the backend or were taken, and known ones that were not taken."""
        asked, taken = self.unknown, self.known
        return self.reached + asked[250] + sum(taken.values()) - taken[250]

    def __str__(self) -> str:
        return (
            f"{self.phase}: unknown {dict(self.unknown)}, reached the backend {self.reached}; "
            f"known {dict(self.known)}; {self.seconds:.1f} s"
        )


def measure(directory: Path, entries: int, lots: int) -> list[Figures]:
    """Run all phases; the directory is down from the middle of the second one on."""
    figures: list[Figures] = []
    people, nobody = known(entries), unknown(lots)
    (directory / "state").mkdir(parents=True)
    (directory / "password").write_text(f"{PASSWORD}\n")
    with CountingServer() as backend, Slapd(directory / "slapd", records(entries)) as slapd:
        plan = Plan(
            [f"{HOST}:{backend.port}"],
            server={"state": str(directory / "state"), "workers": 2},
            quotas={"connections_per_minute": 10000},
            sources=[
                {
                    "kind": "ldap",
                    "servers": [f"ldap://{HOST}:1", f"ldap://{HOST}:{slapd.port}"],
                    "base": BASE,
                    "starttls": False,
                    "user": USER,
                    "password_file": str(directory / "password"),
                    "refresh": "1s",
                }
            ],
        )

        def phase(name: str, port: int, *, half: bool = False) -> None:
            began, before = time.monotonic(), Counter(backend.recipients)
            middle, end = len(nobody) // 2, len(people) // 2
            refused, taken = ask(port, nobody[:middle]), ask(port, people[:end])
            if half:
                slapd.stop()
            refused += ask(port, nobody[middle:])
            taken += ask(port, people[end:])
            reached = sum((backend.recipients - before)[one] for one in nobody)
            figures.append(Figures(name, refused, taken, reached, time.monotonic() - began))

        with Smtproxy(directory / "proxy", plan) as proxy:
            phase("directory up", proxy.port)
            phase("stopped in the middle", proxy.port, half=True)
            proxy.wait_lines("recipients_failed", 2)
        with Smtproxy(directory / "again", plan) as proxy:
            phase("proxy started while it is down", proxy.port)
    return figures


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Unknown recipients against a real directory.")
    parser.add_argument("--entries", type=int, default=20000)
    parser.add_argument("--unknown", type=int, default=10000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smtproxy-recipients-") as name:
        figures = measure(Path(name), asked.entries, asked.unknown)
    for one in figures:
        print(one)
    return int(any(one.violations for one in figures))


if __name__ == "__main__":
    sys.exit(main())
