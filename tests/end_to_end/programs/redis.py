"""A private server of the Redis protocol on a port of its own, which keeps nothing. It must never touch another one."""

import os
import re
import signal
import socket
from pathlib import Path
from typing import Self

from tests.end_to_end.programs.process import HOST, Child, find_program, free_port


class Redis:
    """A running redis-server; use it in a `with` statement. Started again it has its old port, and is empty."""

    def __init__(
        self,
        directory: Path,
        *,
        password: str = "",
        tls: tuple[Path, Path] | None = None,
        cluster: bool = False,
        configuration: Path | None = None,
    ) -> None:
        """Start it; `tls`: certificate and key, and nothing but TLS then; `cluster`: a cluster of one.

        `configuration`: a file of which everything holds but address, directory and what is written to disk.
        """
        program = find_program("redis-server", "redis-server")
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._directory, self._cluster = directory, cluster
        self._command = [
            program,
            *([] if configuration is None else [str(configuration)]),
            "--bind",
            HOST,
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(directory),
        ]
        self._command += ["--requirepass", password] if password else []
        self._command += ["--cluster-enabled", "yes", "--cluster-port", str(free_port())] if cluster else []
        if tls is None:
            self._command += ["--port", str(self.port)]
        else:
            self._command += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            self._command += ["--tls-cert-file", str(tls[0]), "--tls-key-file", str(tls[1])]
            self._command += ["--tls-ca-cert-file", str(tls[0])]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._child = Child("redis", self._command, self._directory)
        self._child.wait_ready(lambda: _listens(self.port))
        if self._cluster:
            self._say("CLUSTER ADDSLOTSRANGE 0 16383")
            self._child.wait_ready(lambda: b"cluster_state:ok" in self._say("CLUSTER INFO"))

    def calls(self, password: str) -> int:
        """Return how many scripts it has run so far: the operations of the store."""
        said = self.ask("INFO commandstats", password)
        return sum(map(int, re.findall(r"cmdstat_(?:eval|evalsha):calls=(\d+)", said)))

    def ask(self, command: str, password: str) -> str:
        """Return the text that answers a command; empty: there is none."""
        with socket.create_connection((HOST, self.port), timeout=5) as connection, connection.makefile("rb") as answers:
            connection.sendall(f"AUTH {password}\r\n{command}\r\n".encode())
            assert answers.readline() == b"+OK\r\n"
            length = int(answers.readline().removeprefix(b"$"))
            return answers.read(length).decode() if length > 0 else ""

    def pause(self) -> None:
        """Stop it in the middle of whatever it does."""
        os.kill(self._child.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self._child.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()

    def keys(self) -> int:
        """Return how many keys it has."""
        return int(self._say("DBSIZE")[1:])

    def _say(self, command: str) -> bytes:
        with socket.create_connection((HOST, self.port), timeout=5) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(65536)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
