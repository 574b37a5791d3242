"""Messages with many recipients: `python -m bench.recipients_load PORT MESSAGES SESSIONS`, a process of its own.

Made so that load and sink cost little beside the proxy, which is to be the limit: envelope and DATA leave in one write,
body and dot in another one, while the proxy parses and judges each recipient, refuses most of them, and passes on and
pairs the others. What the load cost is part of the result; a run in which any reply was not the expected one must give
none.
"""

import json
import resource
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass

from tests.end_to_end.programs.process import HOST, ROOT, ProgramError

GOOD = 50
FOREIGN = 150
"""Recipients of a message that are accepted, and refused by the proxy."""
SESSION = 5
"""Messages of a session: many short ones, or chance decides how many of a few long ones each worker gets."""
BODY = b"Subject: bench\r\n\r\n" + b"x" * 76 + b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class Sent:
    """Seconds on the clock, and of CPU of the load itself."""

    seconds: float
    cpu: float


def envelope() -> bytes:
    """Return MAIL, all RCPT and DATA, as a client sends them that pipelines (RFC 2920)."""
    domains = [b"example.org"] * GOOD + [b"foreign.example.com"] * FOREIGN
    rcpt = b"".join(b"RCPT TO:<client%d@%b>\r\n" % (number, domain) for number, domain in enumerate(domains))
    return b"MAIL FROM:<client@example.net>\r\n" + rcpt + b"DATA\r\n"


def expect(connection: socket.socket, *replies: tuple[int, bytes]) -> None:
    """Read so many lines, and see that those of each kind begin with its code. Raises OSError on anything else.

    The lines are counted and not looked at one by one, which would cost half of what the proxy does for them.
    """
    wanted = sum(count for count, _ in replies)
    heard = b"\n"
    while heard.count(b"\n") <= wanted:
        data = connection.recv(65536)
        if not data:
            break
        heard += data
    if not heard.endswith(b"\n") or any(heard.count(b"\n" + code) != count for count, code in replies):
        raise OSError(f"{heard[-200:]!r} where {replies!r} were to come")


def _session(port: int, messages: int) -> None:
    said = envelope()
    with socket.create_connection((HOST, port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        expect(connection, (1, b"220"))
        connection.sendall(b"HELO client.example.net\r\n")
        expect(connection, (1, b"250"))
        for _ in range(messages):
            connection.sendall(said)
            expect(connection, (GOOD + 1, b"250"), (FOREIGN, b"550"), (1, b"354"))
            connection.sendall(BODY)
            expect(connection, (1, b"250"))
        connection.sendall(b"QUIT\r\n")
        expect(connection, (1, b"221"))


def _one_after_the_other(port: int, messages: int, failures: list[str]) -> None:
    try:
        for begin in range(0, messages, SESSION):
            _session(port, min(SESSION, messages - begin))
    except OSError as error:
        failures.append(str(error) or type(error).__name__)


def run(port: int, messages: int, sessions: int) -> Sent:
    """Run the load in threads of this process: they do little but wait. Raises OSError."""
    failures: list[str] = []
    share = messages // sessions
    threads = [threading.Thread(target=_one_after_the_other, args=(port, share, failures)) for _ in range(sessions)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begin
    if failures:
        raise OSError(failures[0])
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Sent(seconds, used.ru_utime + used.ru_stime)


def run_apart(port: int, messages: int, sessions: int) -> Sent:
    """Run the load in a process of its own. Raises ProgramError unless all went as expected."""
    command = [sys.executable, "-m", "bench.recipients_load", *map(str, (port, messages, sessions))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=600)
    if done.returncode != 0:
        raise ProgramError(f"bench.recipients_load: {done.stderr[-1000:]}")
    return Sent(**json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps(asdict(run(*map(int, sys.argv[1:4])))))
