"""The protocols of sd_listen_fds(3) and sd_notify(3), against sockets of our own."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from smtproxy.app.systemd import FIRST_DESCRIPTOR, Notifier, passed_sockets
from tests.end_to_end.programs.process import ROOT

PID = 4711


def test_nothing_is_passed_to_another_process() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "PATH": "/bin"}
    assert passed_sockets(environment, PID) == []
    assert environment == {"PATH": "/bin"}
    assert passed_sockets({"LISTEN_PID": str(PID)}, PID) == []


def test_sockets_begin_at_descriptor_three() -> None:
    """In a process of its own: here, descriptor 3 is somebody else's."""
    program = (
        "import os\n"
        "from smtproxy.app.systemd import passed_sockets\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
        "(sock,) = passed_sockets(os.environ, os.getpid())\n"
        "print(sock.fileno(), sock.getsockname()[1], os.get_inheritable(sock.fileno()), 'LISTEN_FDS' in os.environ)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def place() -> None:
            os.dup2(listening.fileno(), FIRST_DESCRIPTOR)

        ran = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
            close_fds=False,
            preexec_fn=place,
        )
        assert ran.stdout.split() == ["3", str(listening.getsockname()[1]), "False", "False"]


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_is_told(tmp_path: Path, kind: str) -> None:
    name = str(tmp_path / "notify") if kind == "path" else f"@smtproxy-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0"))
        systemd.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(PID)}, PID)
        assert notifier.watchdog == 30.0
        notifier.ready()
        notifier.reloading()
        notifier.stopping()
        notifier.feed()
        heard = [systemd.recv(4096).decode() for _ in range(4)]
        notifier.close()
    assert [heard[0], *heard[2:]] == ["READY=1", "STOPPING=1", "WATCHDOG=1"]
    kind, _, microseconds = heard[1].partition("\n")
    assert kind == "RELOADING=1"
    assert microseconds.removeprefix("MONOTONIC_USEC=").isdecimal()


@pytest.mark.parametrize(
    ("environment", "watchdog"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 0.0),  # nobody to be told
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "2000000"}, 2.0),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"}, 0.0),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, 0.0),
    ],
)
def test_who_is_not_there_is_no_trouble(environment: dict[str, str], watchdog: float) -> None:
    notifier = Notifier(environment, PID)
    assert notifier.watchdog == watchdog
    notifier.ready()
    notifier.close()


def test_its_socket_is_not_inherited(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}, PID)
    assert notifier._socket is not None
    assert fcntl.fcntl(notifier._socket, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    notifier.close()
