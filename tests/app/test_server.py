"""The server as its user meets it: a process that starts, tells where it listens, and drains on SIGTERM."""

import os
import signal
import smtplib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from smtproxy.app.config import load
from smtproxy.app.server import FAILED, RESERVE, most_sessions
from tests.end_to_end.programs.process import ROOT
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

TEXT = """
[[listeners]]
bind = ["127.0.0.1:{port}"]
backend = "b"
domains = ["example.org"]
body = "{body}"
[backends.b]
servers = ["127.0.0.1:2600", "127.0.0.1:2601"]
max_connections = 8
"""


def _configuration(directory: Path, port: int = 0, body: str = "auto") -> Path:
    file = directory / "config.toml"
    file.write_text(TEXT.format(port=port, body=body))
    return file


@pytest.mark.parametrize(
    ("body", "descriptors", "most"),
    [
        ("auto", 1_000_000, 10_000),  # the limit itself
        ("auto", 1024, 1024 - 16 - RESERVE),
        ("hold", 1024, (1024 - 16 - RESERVE) // 2),  # each may have a file
        ("auto", 10, 1),
    ],
)
def test_sessions_leave_descriptors_for_backends(tmp_path: Path, body: str, descriptors: int, most: int) -> None:
    assert most_sessions(load(str(_configuration(tmp_path, body=body))), descriptors) == most


def test_an_address_in_use_is_said_in_a_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file = _configuration(tmp_path, taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-m", "smtproxy.app.cli", "run", "-c", str(file)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert ended.returncode == FAILED
    assert "Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def _embedded(directory: Path) -> Smtproxy:
    return Smtproxy(directory, Plan(["embedded:exchange"]))


def test_the_embedded_backend_stores_what_it_took(tmp_path: Path) -> None:
    with _embedded(tmp_path) as proxy:
        with smtplib.SMTP("127.0.0.1", proxy.port) as client:
            client.sendmail("me@example.net", ["you@example.org"], "Subject: A test\r\n\r\nIt works.\r\n")
        message = proxy.wait_lines("message", 1)[0]
        assert message["outcome"] == "delivered"
        (stored,) = (tmp_path / "var" / "mail").glob("*.eml")
        assert stored.read_bytes().endswith(b"Subject: A test\r\n\r\nIt works.\r\n")
        assert "goes nowhere" in str(proxy.lines("sample_backend")[0]["warning"])


def test_a_drain_lets_a_transaction_end_and_sends_the_others_away(tmp_path: Path) -> None:
    with _embedded(tmp_path) as proxy:
        busy = smtplib.SMTP("127.0.0.1", proxy.port)
        idle = smtplib.SMTP("127.0.0.1", proxy.port)
        idle.ehlo("idle.example")
        busy.ehlo("busy.example")
        assert busy.mail("me@example.net")[0] == 250
        assert busy.rcpt("you@example.org")[0] == 250
        os.kill(proxy.pid, signal.SIGTERM)
        proxy.wait_lines("draining", 1)
        assert idle.getreply()[0] == 421
        assert busy.data("Subject: late\r\n\r\nstill taken\r\n")[0] == 250
        assert busy.getreply()[0] == 421
        assert proxy.child.wait_end(20) == 0
        assert proxy.lines("stopped")[0]["reason"] == "drained"
        assert sorted(str(line["ended"]) for line in proxy.lines("session"))[-2:] == ["shutdown", "shutdown"]
        for client in (busy, idle):
            client.close()


def test_who_asks_twice_is_in_a_hurry(tmp_path: Path) -> None:
    with _embedded(tmp_path) as proxy:
        client = smtplib.SMTP("127.0.0.1", proxy.port)
        client.ehlo("busy.example")
        assert client.mail("me@example.net")[0] == 250
        os.kill(proxy.pid, signal.SIGTERM)
        proxy.wait_lines("draining", 1)
        os.kill(proxy.pid, signal.SIGTERM)
        assert client.getreply()[0] == 421
        assert proxy.child.wait_end(20) == 0
        assert proxy.lines("stopped")[0] | {"time": ""} == {
            "time": "",
            "event": "stopped",
            "level": "info",
            "sessions": 1,
            "reason": "cut off",
        }
        client.close()
