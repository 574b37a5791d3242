"""A worker as its user meets it: it starts, accepts, and drains on SIGTERM. The supervisor is always there, too."""

import contextlib
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from smtproxy.app.config import load
from smtproxy.app.shared import FEWEST_ROWS
from smtproxy.app.worker import RESERVE, most_sessions
from tests.end_to_end.programs.process import ROOT, answers, free_port, wait_until
from tests.end_to_end.programs.smtproxy import COMMAND, Plan, Smtproxy

TEXT = """
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
body = "{body}"
[backends.b]
servers = ["127.0.0.1:2600", "127.0.0.1:2601"]
max_connections = 8
"""


def _configuration(directory: Path, body: str = "auto") -> Path:
    file = directory / "config.toml"
    file.write_text(TEXT.format(body=body))
    return file


@pytest.mark.parametrize(
    ("body", "descriptors", "inherited", "most"),
    [
        ("auto", 1_000_000, 17, 10_000),  # the limit itself
        ("auto", 1024, 17, 1024 - 16 - 17 - 500 - RESERVE),
        ("auto", 1024, 257, 1024 - 16 - 257 - 500 - RESERVE),  # the bells of 64 workers
        ("hold", 1024, 17, (1024 - 16 - 17 - 500 - RESERVE) // 2),  # each may have a file
        ("auto", 10, 17, 1),
    ],
)
def test_sessions_leave_descriptors_for_backends(
    tmp_path: Path, body: str, descriptors: int, inherited: int, most: int
) -> None:
    assert most_sessions(load(str(_configuration(tmp_path, body=body))), descriptors, inherited) == most


def test_the_reserve_is_enough_for_what_is_neither_session_nor_counted(tmp_path: Path) -> None:
    """`most_sessions` counts the bells and the listeners; everything else that is open has to fit, twice over."""
    with _embedded(tmp_path, "127.0.0.1:0", "127.0.0.1:0") as proxy:
        (worker,) = proxy.workers
        assert len(list(Path(f"/proc/{worker}/fd").iterdir())) - FEWEST_ROWS - 2 < RESERVE / 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_waits_for_its_backend_ends_when_it_is_told_to(tmp_path: Path, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        file = _configuration(tmp_path)
        file.write_text(file.read_text().replace("127.0.0.1:2600", f"127.0.0.1:{silent.getsockname()[1]}"))
        command = [sys.executable, "-m", "smtproxy.app.cli", "run", "-c", str(file)]
        with (
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as proxy,
            silent.accept()[0],  # It is being probed, and says nothing.
        ):
            proxy.send_signal(number)
            output, errors = proxy.communicate(timeout=20)
    assert (proxy.returncode, errors) == (0, "")
    assert '"reason":"drained"' in output.splitlines()[-1]


def _embedded(directory: Path, *binds: str) -> Smtproxy:
    return Smtproxy(directory, Plan(["embedded:exchange"], listener={"bind": binds} if binds else {}))


def _client(proxy: Smtproxy) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", proxy.port, timeout=20)


def test_each_address_is_told_with_its_real_port(tmp_path: Path) -> None:
    with _embedded(tmp_path, "127.0.0.1:0", "[::1]:0", "127.0.0.1:0") as proxy:
        lines = proxy.lines("listening")
        addresses = [str(line["address"]).rpartition(":") for line in lines]
        assert [host for host, _, _ in addresses] == ["127.0.0.1", "[::1]", "127.0.0.1"]
        ports = [int(port) for _, _, port in addresses]
        assert ports[0] != ports[2]
        assert all(answers(port, b"220 mx.example.org ESMTP") for port in (ports[0], ports[2]))
        with socket.create_connection(("::1", ports[1])) as client:
            assert client.recv(100).startswith(b"220")


def test_the_embedded_backend_stores_what_it_took(tmp_path: Path) -> None:
    with _embedded(tmp_path) as proxy:
        with _client(proxy) as client:
            client.sendmail("me@example.net", ["you@example.org"], "Subject: A test\r\n\r\nIt works.\r\n")
        message = proxy.wait_lines("message", 1)[0]
        assert message["outcome"] == "delivered"
        (stored,) = (tmp_path / "var" / "mail").glob("*.eml")
        assert stored.read_bytes().endswith(b"Subject: A test\r\n\r\nIt works.\r\n")
        assert "goes nowhere" in str(proxy.lines("sample_backend")[0]["warning"])


def test_a_drain_lets_a_transaction_end_and_sends_the_others_away(tmp_path: Path) -> None:
    with _embedded(tmp_path) as proxy:
        busy = _client(proxy)
        idle = _client(proxy)
        idle.ehlo("idle.example")
        busy.ehlo("busy.example")
        assert busy.mail("me@example.net")[0] == 250
        assert busy.rcpt("you@example.org")[0] == 250
        os.kill(proxy.pid, signal.SIGTERM)
        proxy.wait_lines("draining", 1)
        assert idle.getreply()[0] == 421
        idle.close()
        assert busy.data("Subject: late\r\n\r\nstill taken\r\n")[0] == 250
        assert busy.getreply()[0] == 421
        busy.close()
        assert proxy.child.wait_end(20) == 0
        assert proxy.lines("stopped")[0]["reason"] == "drained"
        assert sorted(str(line["ended"]) for line in proxy.lines("session"))[-2:] == ["shutdown", "shutdown"]


def test_who_asks_twice_is_in_a_hurry(tmp_path: Path) -> None:
    with _embedded(tmp_path) as proxy:
        client = _client(proxy)
        client.ehlo("busy.example")
        assert client.mail("me@example.net")[0] == 250
        os.kill(proxy.pid, signal.SIGTERM)
        proxy.wait_lines("draining", 1)
        os.kill(proxy.pid, signal.SIGTERM)
        assert client.getreply()[0] == 421
        client.close()
        assert proxy.child.wait_end(20) == 0
        assert proxy.lines("stopped")[0] | {"time": ""} == {
            "time": "",
            "event": "stopped",
            "level": "info",
            "sessions": 1,
            "reason": "cut off",
        }


def _serve(listener: socket.socket, may_answer: threading.Event) -> None:
    """A backend for one client at a time; its reply to a final dot waits for the word of the test."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        # A probe says QUIT and does not wait for what comes of it.
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            connection.send(b"220 slow\r\n")
            in_body = False
            for line in lines:
                if in_body and line != b".\r\n":
                    continue
                if in_body:
                    may_answer.wait(20)
                in_body = line == b"DATA\r\n"
                connection.send(b"354 go on\r\n" if in_body else b"250 fine\r\n")


@contextlib.contextmanager
def _slow_backend(may_answer: threading.Event) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, may_answer))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            may_answer.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_nobody_is_in_such_a_hurry_that_a_committed_message_is_left_alone(tmp_path: Path) -> None:
    may_answer = threading.Event()
    with _slow_backend(may_answer) as port, Smtproxy(tmp_path, Plan([f"127.0.0.1:{port}"])) as proxy:
        committed = _client(proxy)
        busy = _client(proxy)
        for client in (committed, busy):
            client.ehlo("client.example")
            assert client.mail("me@example.net")[0] == 250
        assert committed.rcpt("you@example.org")[0] == 250
        assert committed.docmd("DATA")[0] == 354
        committed.send(b"Subject: x\r\n\r\nHello\r\n.\r\n")
        proxy.wait_lines("commit", 1)
        os.kill(proxy.pid, signal.SIGTERM)
        proxy.wait_lines("draining", 1)
        for _ in range(3):
            os.kill(proxy.pid, signal.SIGTERM)
        assert busy.getreply()[0] == 421
        busy.close()
        may_answer.set()
        assert [committed.getreply()[0], committed.getreply()[0]] == [250, 421]
        committed.close()
        assert proxy.child.wait_end(20) == 0
        assert [line["outcome"] for line in proxy.lines("message")].count("delivered") == 1
        assert (proxy.lines("stopped")[0]["sessions"], proxy.lines("stopped")[0]["reason"]) == (1, "cut off")


@dataclass(frozen=True)
class FullUse:
    """A proxy whose only place at the backend is taken, for as long as the test likes, by one of two workers."""

    proxy: Smtproxy
    plan: Plan
    idle: int
    """The worker that has no session."""
    may_answer: threading.Event
    """Set it, and the place becomes free."""


@contextlib.contextmanager
def _in_full_use(directory: Path, command: Sequence[str] = COMMAND) -> Iterator[FullUse]:
    may_answer = threading.Event()
    with _slow_backend(may_answer) as backend:
        address = f"127.0.0.1:{free_port()}"
        plan = Plan([f"127.0.0.1:{backend}"], {"bind": [address]}, {"max_connections": 1}, {"workers": 2})
        with Smtproxy(directory, plan, command=command) as proxy:
            idle, _ = proxy.workers
            # The question whether the server takes anybody must be over: stopped in it, the worker keeps the place.
            proxy.wait_lines("backend_accepts_all", 1)
            os.kill(idle, signal.SIGSTOP)
            busy = _client(proxy)
            busy.ehlo("client.example")
            busy.mail("me@example.net")
            busy.rcpt("you@example.org")
            busy.docmd("DATA")
            busy.send(b"Subject: x\r\n\r\nHello\r\n.\r\n")
            proxy.wait_lines("commit", 1)
            os.kill(idle, signal.SIGCONT)
            yield FullUse(proxy, plan, idle, may_answer)
            assert may_answer.is_set() or proxy.lines("message") == []
            may_answer.set()
            assert busy.getreply()[0] == 250
            busy.close()


def test_new_workers_serve_clients_while_there_is_no_place_for_a_probe(tmp_path: Path) -> None:
    """They know what the old ones have seen of the server: else a reload in a busy hour would send all clients away."""
    with _in_full_use(tmp_path) as here:
        proxy = here.proxy
        proxy.reload(replace(here.plan, server={"workers": 2, "hostname": "new.example.org"}))
        proxy.wait_lines("reloaded", 1)
        with _client(proxy) as client:
            code, text = client.ehlo("client.example")
            assert (code, text.startswith(b"new.example.org"), client.has_extn("chunking")) == (250, True, True)


def test_who_takes_the_place_of_a_worker_serves_clients_while_there_is_no_place_for_a_probe(tmp_path: Path) -> None:
    with _in_full_use(tmp_path) as here:
        (busy,) = set(here.proxy.workers) - {here.idle}
        os.kill(busy, signal.SIGSTOP)
        os.kill(here.idle, signal.SIGKILL)
        with _client(here.proxy) as client:
            assert client.ehlo("client.example")[0] == 250
        os.kill(busy, signal.SIGCONT)


IMPATIENT = """
import sys

from smtproxy.app import cli, worker
worker.FIRST_PROBE = 1.0
sys.exit(cli.main(sys.argv[1:]))
"""


def _with_tls(plan: Plan, place_time: str) -> Plan:
    """Return a plan under which nobody has seen the server yet."""
    return replace(plan, backend={**plan.backend, "tls": "opportunistic"}, bounds={"place_time": place_time})


def test_new_workers_that_know_nothing_of_the_server_wait_for_a_place(tmp_path: Path) -> None:
    with _in_full_use(tmp_path, [sys.executable, "-c", IMPATIENT, "run", "-c"]) as here:
        proxy = here.proxy
        proxy.reload(_with_tls(here.plan, "60s"))
        proxy.wait_lines("worker_started", 4)
        started = time.monotonic()
        wait_until(lambda: time.monotonic() - started > 2.0, 20, "time stands still")
        with _client(proxy) as client:
            assert client.ehlo("client.example")[0] == 250
        here.may_answer.set()
        proxy.wait_lines("reloaded", 1)
        assert [line["event"] for line in proxy.lines() if line["event"] in ("message", "reloaded")] == [
            "message",
            "reloaded",
        ]
        with _client(proxy) as client:
            assert client.ehlo("client.example")[0] == 250


def test_they_wait_no_longer_than_a_session_would(tmp_path: Path) -> None:
    with _in_full_use(tmp_path, [sys.executable, "-c", IMPATIENT, "run", "-c"]) as here:
        here.proxy.reload(_with_tls(here.plan, "1s"))
        here.proxy.wait_lines("reloaded", 1)
