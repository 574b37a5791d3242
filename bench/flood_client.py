"""A flood of bots, a process of its own: `python -m bench.flood_client PORT HELD RATE AT_ONCE`, until its input ends.

Bots that stay: HELD of them, an address each, talk before the banner and under a name that is none. Whoever delays
them is waited for; whoever answers at once sees the bot stay for as long as a delay may last, and come back.
Bots that come: RATE new ones a second, or, with a rate of 0, as many as can be had by AT_ONCE at a time. They speak one
command after the other, name a recipient of a foreign domain, and leave when that is refused.

It says when all HELD are connected, and at the end what it saw, as JSON. It must never deliver mail, and speaks to
loopback only.
"""

import json
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from tests.end_to_end.programs.process import HOST, ROOT, ProgramError, on_cores

STAY = 30.0
"""Seconds."""
FILLING = 250
"""Bots that stay and come in a second: they are not to leave all at once either."""
SLACK = 60.0
"""Seconds that they may take longer."""
PATIENCE = 10.0
"""Seconds until a bot that came leaves, whether it was served or not."""
RELUCTANT = 1.0
"""Seconds until a bot that was not served tries again."""
BEHIND = 0.1
"""Seconds of new bots that are owed at most: what is older is counted as late, and left out."""
_BIND_ADDRESS_NO_PORT = 24
"""ip(7), IP_BIND_ADDRESS_NO_PORT; the module socket does not name it."""
EARLY = b"EHLO no_such;name\r\n"
SAID = (
    b"EHLO bot.example.net\r\n",
    b"MAIL FROM:<bot@example.net>\r\n",
    b"RCPT TO:<victim@elsewhere.example>\r\n",
    b"QUIT\r\n",
)


@dataclass(slots=True)
class Seen:
    """What became of the bots."""

    seconds: float = 0.0
    """From the first one that came to the end."""
    refused: int = 0
    """Of those that came: the recipient was refused."""
    turned_away: int = 0
    """Of those that came: refused or closed before the recipient."""
    unserved: int = 0
    """Of those that came: lost patience."""
    accepted: int = 0
    """Recipients that were accepted: there must be none."""
    late: int = 0
    """Left out because this process did not keep up."""
    staying: int = 0
    """Of those that stay: connected at the end."""
    returned: int = 0
    """How often one of those came anew."""
    cpu: float = 0.0
    """Seconds of CPU this process took meanwhile."""


@dataclass(slots=True, eq=False)
class Bot:
    """One connection."""

    sock: socket.socket
    stays: bool
    said: int = 0
    rest: bytes = b""
    began: float = 0.0
    spoke: bool = False
    """It talked before the banner."""


def source(number: int) -> str:
    """Return one of 127.1.0.1 to 127.200.200.200: no client comes twice before 8 million have come."""
    return f"127.{1 + number // 40000 % 200}.{1 + number // 200 % 200}.{1 + number % 200}"


class Flood:
    """All bots of the process."""

    def __init__(self, port: int, held: int, rate: float, at_once: int) -> None:
        """Nobody has come yet."""
        self.seen = Seen()
        self._port, self._held, self._rate, self._at_once = port, held, rate, at_once
        self._poll = select.epoll()
        self._bots: dict[int, Bot] = {}
        self._number = 0
        self._staying = self._coming = 0
        start = time.monotonic()
        self._latest = start + held / FILLING + SLACK
        self._absent = deque(start + number / FILLING for number in range(held))
        """When a bot that stays is to come (again)."""
        self._quitting: deque[tuple[float, Bot]] = deque()
        """Bots that were answered at once, and when they have stayed long enough."""
        self._waiting: deque[tuple[float, Bot]] = deque()
        """Bots that came, and when they lose patience."""

    def run(self, until: int) -> None:
        """Go on until this descriptor is at its end. Raises ProgramError: the bots that stay were not let in."""
        self._poll.register(until, select.EPOLLIN | select.EPOLLHUP)
        began, launched, cpu = 0.0, 0, 0.0
        announced = False
        while True:
            now = time.monotonic()
            if not announced and self._staying >= self._held:
                announced = True
                print("all are there", flush=True)
            if not announced and now > self._latest:
                raise ProgramError(f"only {self._staying} of {self._held} bots were let in")
            if announced and not began and (self._rate or self._at_once):
                began, cpu = now, time.process_time()
            self._stay(now)
            if began:
                launched = self._come(now, began, launched)
            for descriptor, _ in self._poll.poll(0.005, 512):
                if descriptor == until:
                    self.seen.seconds = now - began if began else 0.0
                    self.seen.cpu = time.process_time() - cpu
                    self.seen.staying = self._staying
                    return
                self._hear(self._bots[descriptor])

    def _stay(self, now: float) -> None:
        while self._absent and self._absent[0] <= now:
            self._absent.popleft()
            self._open(stays=True, now=now)
        while self._quitting and self._quitting[0][0] <= now:
            bot = self._quitting.popleft()[1]
            if bot.sock.fileno() >= 0:
                self._end(bot)

    def _come(self, now: float, began: float, launched: int) -> int:
        while self._waiting and self._waiting[0][0] <= now:
            bot = self._waiting.popleft()[1]
            if bot.sock.fileno() >= 0:
                self._end(bot, patient=False)
        if not self._rate:
            while self._coming < self._at_once:
                self._open(stays=False, now=now)
            return launched
        due = int((now - began) * self._rate)
        late = due - launched - int(self._rate * BEHIND)
        if late > 0:
            self.seen.late += late
            launched += late
        for _ in range(due - launched):
            self._open(stays=False, now=now)
        return due

    def _open(self, *, stays: bool, now: float) -> None:
        sock = socket.socket()
        sock.settimeout(0)
        # The port is chosen with the connection: else the ports of all sources together are one machine's.
        sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((source(self._number), 0))
        self._number += 1
        with suppress(BlockingIOError):
            sock.connect((HOST, self._port))
        bot = Bot(sock, stays, began=now)
        self._bots[sock.fileno()] = bot
        if stays:
            self._staying += 1
            with suppress(OSError):  # over loopback it is connected by now, unless the queue of the server is full
                bot.spoke = sock.send(EARLY) > 0
        else:
            self._coming += 1
            self._waiting.append((now + PATIENCE, bot))
        self._poll.register(sock.fileno(), select.EPOLLIN)

    def _hear(self, bot: Bot) -> None:
        try:
            octets = bot.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:
            self._end(bot)
            return
        *lines, bot.rest = (bot.rest + octets).split(b"\n")
        for line in lines:
            if line[3:4] != b"-" and not self._answered(bot, line):
                self._end(bot)
                return

    def _answered(self, bot: Bot, line: bytes) -> bool:
        """Take a reply; return whether the bot has anything more to say."""
        about = bot.said
        if about == 3:
            if line.startswith(b"2"):
                self.seen.accepted += 1
                return False
            if bot.stays:
                bot.said = len(SAID)
                self._quitting.append((bot.began + STAY, bot))
                return True
        elif not line.startswith(b"2"):
            return False
        if about >= len(SAID):
            return bot.stays
        bot.said += 1
        if about or not bot.spoke:
            with suppress(OSError):
                bot.sock.send(SAID[about] if about or not bot.stays else EARLY)
        return True

    def _end(self, bot: Bot, *, patient: bool = True) -> None:
        del self._bots[bot.sock.fileno()]
        bot.sock.close()
        if bot.stays:
            self._staying -= 1
            self.seen.returned += 1
            now = time.monotonic()
            self._absent.append(now if now - bot.began >= STAY else now + RELUCTANT)
            return
        self._coming -= 1
        if bot.said >= len(SAID):
            self.seen.refused += 1
        elif patient:
            self.seen.turned_away += 1
        else:
            self.seen.unserved += 1


class FloodClient:
    """The running process; use it in a `with` statement."""

    def __init__(
        self, directory: Path, port: int, *, held: int, rate: float = 0.0, at_once: int = 0, cores: Sequence[int] = ()
    ) -> None:
        """Start it; returns when all bots that stay are connected."""
        directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bench.flood_client", str(port), str(held), str(rate), str(at_once)]
        with on_cores(cores), (directory / "flood.err").open("w") as errors:
            self._popen = subprocess.Popen(
                ["nice", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
            )
        self._errors = directory / "flood.err"
        self._first = self._line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._popen:  # closes its pipes
            self._popen.kill()

    def _line(self) -> str:
        line = "" if self._popen.stdout is None else self._popen.stdout.readline()
        if not line:
            self._popen.wait(10)
            raise ProgramError(f"bench.flood_client: {self._errors.read_text()[-1000:]}")
        return line

    def over(self) -> Seen:
        """End it and return what it saw."""
        if self._popen.stdin is not None:
            self._popen.stdin.close()
        seen = Seen(**json.loads(self._line()))
        self._popen.wait(30)
        return seen


def main() -> None:
    """Run one."""
    port, held, rate, at_once = sys.argv[1:]
    flood = Flood(int(port), int(held), float(rate), int(at_once))
    flood.run(sys.stdin.fileno())
    print(json.dumps(asdict(flood.seen)))


if __name__ == "__main__":
    main()
