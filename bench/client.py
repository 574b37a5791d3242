"""One SMTP session after the other, timed: `python -m bench.client PORT COUNT OCTETS RECIPIENT SECONDS`, a process of
its own.

It waits for each reply and sends each command in one write, as most mail servers do. A session counts as failed when
any reply but the expected one comes, and a failed one must never be among the times. With 0 octets the RCPT has to be
refused.
"""

import gc
import json
import math
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.end_to_end.programs.process import HOST, ROOT, ProgramError, on_cores


@dataclass(frozen=True, slots=True)
class Sessions:
    """Milliseconds of each good session, from connect to the reply to QUIT, sorted; failures, and the first of them."""

    times: list[float]
    failed: int
    first_failure: str = ""

    def percentile(self, percent: float) -> float:
        """Nearest rank."""
        return self.times[min(len(self.times) - 1, int(len(self.times) * percent / 100))]


def dialogue(octets: int, recipient: str) -> list[tuple[bytes, bytes]]:
    """Return the commands of a session and the start of the reply to each."""
    opening = [
        (b"EHLO client.example.net\r\n", b"250"),
        (b"MAIL FROM:<client@example.net>\r\n", b"250"),
    ]
    rcpt = f"RCPT TO:<{recipient}>\r\n".encode()
    closing = (b"QUIT\r\n", b"221")
    if octets == 0:
        return [*opening, (rcpt, b"5"), closing]
    line = b"x" * 76 + b"\r\n"
    header = b"From: <client@example.net>\r\nTo: <%s>\r\nSubject: bench\r\n\r\n" % recipient.encode()
    body = header + line * (octets // len(line)) + b".\r\n"
    return [*opening, (rcpt, b"250"), (b"DATA\r\n", b"354"), (body, b"250"), closing]


def reply_of(connection: socket.socket) -> bytes:
    """Read one reply to the end of its last line, the one with a blank behind the code."""
    reply = b""
    while True:
        data = connection.recv(4096)
        if not data:
            return b""
        reply += data
        if reply.endswith(b"\r\n") and reply[reply.rfind(b"\n", 0, -1) + 4 :][:1] == b" ":
            return reply


def failure_in(connection: socket.socket, said: Sequence[tuple[bytes, bytes]]) -> str:
    """Say commands one by one; return what went wrong, the empty string if nothing did."""
    for command, expected in said:
        connection.sendall(command)
        reply = reply_of(connection)
        if not reply.startswith(expected):
            return f"{command[:40]!r}: {reply!r}"
    return ""


def _session(port: int, said: Sequence[tuple[bytes, bytes]]) -> str:
    """Run one session; the empty string is success, anything else what went wrong."""
    with socket.create_connection((HOST, port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greeting = reply_of(connection)
        return failure_in(connection, said) if greeting.startswith(b"220") else f"greeting: {greeting!r}"


def run(port: int, count: int, octets: int, recipient: str, seconds: float = math.inf) -> Sessions:
    """Run the sessions in this process; none begins when `seconds` are over."""
    said = dialogue(octets, recipient)
    times: list[float] = []
    failures: list[str] = []
    gc.disable()
    end = time.perf_counter() + seconds
    for _ in range(count):
        begin = time.perf_counter()
        if begin >= end:
            break
        try:
            failure = _session(port, said)
        except OSError as error:
            failure = str(error) or type(error).__name__
        if failure:
            failures.append(failure)
        else:
            times.append((time.perf_counter() - begin) * 1000)
    return Sessions(sorted(times), len(failures), failures[0] if failures else "")


def run_within(
    port: int, count: int, octets: int, recipient: str, cores: Sequence[int], seconds: float = math.inf
) -> Sessions:
    """Run the sessions in a process of its own, some of which may fail. Raises ProgramError: the process did."""
    command = [sys.executable, "-m", "bench.client", str(port), str(count), str(octets), recipient, str(seconds)]
    with on_cores(cores):
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=600)
    if done.returncode != 0:
        raise ProgramError(f"bench.client: {done.stderr[-1000:]}")
    return Sessions(**json.loads(done.stdout))


def run_apart(port: int, count: int, octets: int, recipient: str, cores: Sequence[int]) -> Sessions:
    """The same. Raises ProgramError unless all of them went as expected."""
    sessions = run_within(port, count, octets, recipient, cores)
    if sessions.failed:
        raise ProgramError(f"{sessions.failed} of {count} sessions failed, the first with {sessions.first_failure}")
    return sessions


if __name__ == "__main__":
    _port, _count, _octets, _recipient, _seconds = sys.argv[1:]
    print(json.dumps(asdict(run(int(_port), int(_count), int(_octets), _recipient, float(_seconds)))))
