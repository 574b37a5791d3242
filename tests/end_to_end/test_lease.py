"""Clients that hold the backend's places and do nothing with them must not keep an honest mail waiting.

Fifty stop after RCPT and fifty send one octet a second, against sixteen places (the default).
"""

import smtplib
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Settings, Smtproxy

pytestmark = pytest.mark.end_to_end

PATIENCE = 2.0
"""Seconds an honest mail may take."""


def _reply(connection: socket.socket) -> bytes:
    reply = b""
    while not (reply.endswith(b"\r\n") and reply[reply.rfind(b"\n", 0, -1) + 4 :][:1] == b" "):
        data = connection.recv(4096)
        assert data, f"the proxy closed the connection after {reply!r}"
        reply += data
    return reply


def _up_to_rcpt(stack: ExitStack, port: int, recipient: str) -> socket.socket:
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
    _reply(connection)
    for command in ("EHLO slow.example.net", "MAIL FROM:<slow@example.net>", f"RCPT TO:<{recipient}>"):
        connection.sendall(command.encode() + b"\r\n")
        reply = _reply(connection)
        assert reply.startswith(b"250"), reply
    return connection


def _drip(connections: list[socket.socket], over: threading.Event) -> None:
    """One octet a second on each connection, until told to stop."""
    while not over.wait(1):
        for connection in connections:
            connection.sendall(b"x")


def _start_bodies(connections: list[socket.socket]) -> None:
    for connection in connections:
        connection.sendall(b"DATA\r\n")
        assert _reply(connection).startswith(b"354")


@pytest.mark.parametrize("backend_settings", [{"lease": "500ms"}, {}], ids=["short lease", "default lease"])
def test_an_honest_mail_passes_a_hundred_slow_clients(directory: Path, backend_settings: Settings) -> None:
    place = directory / f"lease-{len(backend_settings)}"
    with ExitStack() as stack:
        backend = stack.enter_context(SmtpSink(place, keep=True))
        plan = Plan([f"127.0.0.1:{backend.port}"], backend=backend_settings)
        proxy = stack.enter_context(Smtproxy(place, plan))
        stopped = [_up_to_rcpt(stack, proxy.port, f"stopped{number}@example.org") for number in range(50)]
        # Half of the slow ones are slow in a command line, half in the body.
        slow = [_up_to_rcpt(stack, proxy.port, f"slow{number}@example.org") for number in range(50)]
        _start_bodies(slow[25:])
        over = threading.Event()
        dripping = threading.Thread(target=_drip, args=(slow, over))
        dripping.start()
        try:
            times = []
            for number in range(3):
                begin = time.monotonic()
                with smtplib.SMTP("127.0.0.1", proxy.port, timeout=30) as honest:
                    honest.sendmail("honest@example.net", f"honest{number}@example.org", "Subject: honest\n\nhello\n")
                times.append(time.monotonic() - begin)
        finally:
            over.set()
            dripping.join()
        assert max(times) < PATIENCE, times
        assert backend.stored() == {f"honest{number}@example.org": 1 for number in range(3)}
        # Those that stopped are still welcome: their envelope is given to the backend once more.
        _start_bodies(stopped[:1])
        stopped[0].sendall(b"Subject: late\r\n\r\n.\r\n")
        assert _reply(stopped[0]).startswith(b"250")
        assert backend.stored()["stopped0@example.org"] == 1
