"""The way in: an address that cannot be bound, and sockets that systemd has opened."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from smtproxy.app.supervisor import FAILED
from smtproxy.app.systemd import FIRST_DESCRIPTOR
from tests.end_to_end.programs.process import ROOT, answers
from tests.end_to_end.programs.smtproxy import Plan


def _command(directory: Path, bind: str) -> list[str]:
    file = directory / "config.toml"
    file.write_text(Plan(["embedded:exchange"], listener={"bind": [bind]}).text())
    return [sys.executable, "-m", "smtproxy.app.cli", "run", "-c", str(file)]


def test_an_address_in_use_is_said_in_a_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = subprocess.run(
            _command(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert ended.returncode == FAILED
    assert ended.stderr == f"smtproxy: listener mx: 127.0.0.1:{taken_port(ended.stderr)}: Address already in use\n"


def taken_port(said: str) -> str:
    return said.rpartition("127.0.0.1:")[2].partition(":")[0]


def test_a_socket_that_systemd_opened_is_served(tmp_path: Path) -> None:
    """As systemd does it: the socket at descriptor 3, its number and the process it is for in the environment."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        shell = ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=smtp exec "$@"', "sh"]

        def place() -> None:
            os.dup2(listening.fileno(), FIRST_DESCRIPTOR)

        with subprocess.Popen(
            [*shell, *_command(tmp_path, f"127.0.0.1:{port}")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            close_fds=False,
            preexec_fn=place,  # noqa: PLW1509 - it calls dup2 and nothing else
        ) as proxy:
            assert answers(port, b"220 mx.example.org ESMTP")  # It waited in the queue for the proxy to start.
            proxy.send_signal(signal.SIGTERM)
            output, _ = proxy.communicate(timeout=20)
    assert proxy.returncode == 0
    assert f'"address":"127.0.0.1:{port}"'.encode() in output
