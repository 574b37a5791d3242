"""Clients that said EHLO and then nothing: what one of them costs, and whether all are still served.

Must never hold a connection after it returns.
"""

import resource
import socket
import ssl
import time
from dataclasses import dataclass

from bench.client import reply_of
from bench.meter import cpu_seconds, memory_kib
from bench.tls_load import begin_tls
from tests.end_to_end.programs.process import HOST, ProgramError

QUIET = 3.0
"""Seconds of rest between the last EHLO and the NOOPs: nothing should use the CPU meanwhile."""

SPARE = 100
"""Descriptors this process needs for everything else."""


@dataclass(frozen=True, slots=True)
class Idle:
    """KiB of proportional memory for each client, CPU seconds in the quiet time, clients whose NOOP was answered."""

    clients: int
    kib: float
    quiet_cpu: float
    answered: int


def measure(port: int, pid: int, clients: int, context: ssl.SSLContext | None = None) -> Idle:
    """Open the clients one after the other, rest, and ask each for a NOOP; with a context they speak TLS.

    Raises ProgramError where this process may not hold as many connections.
    """
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed < clients + SPARE:
        raise ProgramError(f"{clients} idle clients need {clients + SPARE} descriptors here, {allowed} are allowed")
    before = memory_kib(pid)
    connections: list[socket.socket] = []
    try:
        for _ in range(clients):
            connection = socket.create_connection((HOST, port), timeout=30)
            connections.append(connection)
            if context is None:
                reply_of(connection)
            else:
                connections[-1] = connection = begin_tls(connection, context)
            connection.sendall(b"EHLO idle.example.net\r\n")
            reply_of(connection)
        after = memory_kib(pid)
        cpu = cpu_seconds(pid)
        time.sleep(QUIET)
        cpu = cpu_seconds(pid) - cpu
        return Idle(clients, (after - before) / clients, cpu, _noops(connections))
    finally:
        for connection in connections:
            connection.close()


def _noops(connections: list[socket.socket]) -> int:
    answered = 0
    for connection in connections:
        try:
            connection.sendall(b"NOOP\r\n")
            answered += reply_of(connection).startswith(b"250")
        except OSError:
            continue
    return answered
