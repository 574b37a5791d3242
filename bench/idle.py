"""Clients that said EHLO and then nothing: what one of them costs, and whether all are still served.

Must never hold a connection after it returns.
"""

import socket
import time
from dataclasses import dataclass

from bench.meter import cpu_seconds, memory_kib
from tests.end_to_end.programs.process import HOST

QUIET = 3.0
"""Seconds of rest between the last EHLO and the NOOPs: nothing should use the CPU meanwhile."""


@dataclass(frozen=True, slots=True)
class Idle:
    """KiB of proportional memory for each client, CPU seconds in the quiet time, clients whose NOOP was answered."""

    clients: int
    kib: float
    quiet_cpu: float
    answered: int


def _reply(connection: socket.socket) -> bytes:
    reply = b""
    while not (reply.endswith(b"\r\n") and reply[reply.rfind(b"\n", 0, -1) + 4 :][:1] == b" "):
        data = connection.recv(4096)
        if not data:
            break
        reply += data
    return reply


def measure(port: int, pid: int, clients: int) -> Idle:
    """Open the clients one after the other, rest, and ask each for a NOOP."""
    before = memory_kib(pid)
    connections: list[socket.socket] = []
    try:
        for _ in range(clients):
            connection = socket.create_connection((HOST, port), timeout=30)
            connections.append(connection)
            _reply(connection)
            connection.sendall(b"EHLO idle.example.net\r\n")
            _reply(connection)
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
            answered += _reply(connection).startswith(b"250")
        except OSError:
            continue
    return answered
