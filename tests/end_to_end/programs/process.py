"""Starts, watches and ends one program around the product, and says loudly what is missing or went wrong.

It must never wait for a fixed time, listen anywhere but on loopback, or end a process that was not started here:
programs are ended by their process id, never by name.
"""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[3]
"""The project's directory."""

FIRST_PORT, LAST_PORT = 20000, 31999
"""Below Linux's own range for outgoing connections (32768 to 60999): no client of a test is given one of these."""

_candidates = itertools.cycle(range(FIRST_PORT, LAST_PORT + 1))
_start = (os.getpid() * 61) % (LAST_PORT - FIRST_PORT)
"""Two test runs beside each other begin at different places."""


class ProgramError(Exception):
    """A program is missing, did not start, did not answer, or failed. The text is for the reader of a test report."""


def find_program(name: str, package: str) -> str:
    """Return the path of a program. Raises ProgramError with the Debian package that brings it."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    found = shutil.which(name, path=path)
    if found is None:
        raise ProgramError(f"{name} is missing: install the Debian package {package} (apt-get install {package})")
    return found


def free_port() -> int:
    """Return a loopback port that nobody listens on. Each call of one process gives another one."""
    for candidate in _candidates:
        port = FIRST_PORT + (candidate - FIRST_PORT + _start) % (LAST_PORT - FIRST_PORT + 1)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ProgramError("no free port")


def wait_until(condition: Callable[[], bool], patience: float, what: str) -> None:
    """Ask again and again until the condition holds. Raises ProgramError after `patience` seconds."""
    end = time.monotonic() + patience
    pause = 0.002
    while not condition():
        if time.monotonic() > end:
            raise ProgramError(f"waited {patience:g} s in vain: {what}")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def answers(port: int, expected: bytes) -> bool:
    """Tell whether the server on this port greets with the expected octets."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            return connection.recv(512).startswith(expected)
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """Return the process and all that descend from it, the root first."""
    found = [pid]
    for parent in found:
        try:
            children = [
                int(child)
                for task in Path(f"/proc/{parent}/task").iterdir()
                for child in (task / "children").read_text().split()
            ]
        except OSError:
            continue
        found += children
    return found


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Pin what is started inside to these cores; an empty sequence pins nothing."""
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def open_to_servants(directory: Path) -> Path:
    """Make a directory, below that for temporary files, which programs that gave up root may reach and write to."""
    top = Path(tempfile.gettempdir()).resolve()
    directory = directory.resolve()
    if top not in directory.parents:
        raise ProgramError(f"{directory} is not below {top}: refusing to open it to others")
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o777)
    for parent in directory.parents[: len(directory.parents) - len(top.parents) - 1]:
        parent.chmod(parent.stat().st_mode | 0o011)
    return directory


class Child:
    """A program that runs beside us, with its output in files of its directory."""

    def __init__(self, name: str, command: Sequence[str], directory: Path, *, cwd: Path | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.output_path = directory / f"{name}.out"
        self.error_path = directory / f"{name}.err"
        with self.output_path.open("wb") as output, self.error_path.open("wb") as error:
            self._popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=error, cwd=cwd)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """False once the program has ended."""
        return self._popen.poll() is None

    def complain(self, what: str) -> ProgramError:
        """Return an error with the end of what the program said."""
        said = (
            self.error_path.read_text(errors="replace")[-2000:] or self.output_path.read_text(errors="replace")[-2000:]
        )
        return ProgramError(f"{self.name}: {what}; it said: {said or 'nothing'}")

    def wait_ready(self, ready: Callable[[], bool], patience: float = 20) -> None:
        """Wait for the first good answer. Raises ProgramError when the program ends, or says nothing in time."""

        def ready_or_over() -> bool:
            return not self.running or ready()

        try:
            wait_until(ready_or_over, patience, "not ready")
        except ProgramError as error:
            self.stop()
            raise self.complain(str(error)) from error
        if not self.running:
            raise self.complain(f"ended with status {self._popen.returncode} before it was ready")

    def wait_end(self, patience: float) -> int:
        """Wait for the end of the program and return its exit status. Raises ProgramError when it stays."""
        try:
            return self._popen.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self.complain(f"still there after {patience:g} s") from None

    def kill(self) -> None:
        """End the program and its children at once (SIGKILL), by their ids."""
        for pid in descendants(self.pid) if self.running else ():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._popen.wait()

    def stop(self, patience: float = 10) -> None:
        """Ask the program to end (SIGTERM), insist (SIGKILL) after `patience` seconds."""
        if self.running:
            self._popen.terminate()
            try:
                self._popen.wait(patience)
            except subprocess.TimeoutExpired:
                self.kill()
