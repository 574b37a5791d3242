"""Sessions of clients that were never seen: `python -m bench.fresh_clients PORT SESSIONS`, a process of its own.

Each comes from another address (PROXY protocol) with another name and another sender's domain, so that nothing about it
is in memory, and ends after RCPT. A run in which any reply was not the expected one must give none.
"""

import json
import resource
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict

from bench.recipients_load import Sent, expect
from tests.end_to_end.programs.process import HOST, ROOT, ProgramError

BALANCER = "127.0.0.2"
"""By way of which they come: a listener must believe its headers."""
AT_ONCE = 40


def _session(port: int, number: int) -> None:
    client = f"198.18.{number // 250}.{1 + number % 250}"
    with socket.create_connection((HOST, port), 60, (BALANCER, 0)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(f"PROXY TCP4 {client} {HOST} 4711 25\r\n".encode())
        expect(connection, (1, b"220"))
        connection.sendall(f"HELO host{number}.example.net\r\n".encode())
        expect(connection, (1, b"250"))
        connection.sendall(f"MAIL FROM:<a@sender{number}.example.net>\r\n".encode())
        expect(connection, (1, b"250"))
        connection.sendall(b"RCPT TO:<user@example.org>\r\n")
        expect(connection, (1, b"250"))
        connection.sendall(b"QUIT\r\n")
        expect(connection, (1, b"221"))


def run(port: int, sessions: int) -> Sent:
    """Run the load in threads of this process. Raises OSError."""
    failures: list[str] = []

    def some(first: int) -> None:
        try:
            for number in range(first, sessions, AT_ONCE):
                _session(port, number)
        except OSError as error:
            failures.append(str(error) or type(error).__name__)

    threads = [threading.Thread(target=some, args=(first,)) for first in range(AT_ONCE)]
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


def run_apart(port: int, sessions: int) -> Sent:
    """Run the load in a process of its own. Raises ProgramError unless all went as expected."""
    command = [sys.executable, "-m", "bench.fresh_clients", str(port), str(sessions)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=600)
    if done.returncode != 0:
        raise ProgramError(f"bench.fresh_clients: {done.stderr[-1000:]}")
    return Sent(**json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps(asdict(run(*map(int, sys.argv[1:3])))))
