"""nft in a network of its own, which any user may have where the system allows it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.programs.process import find_program

AS_ROOT = ("--user", "--map-root-user")


@dataclass(frozen=True, slots=True)
class Network:
    """A network namespace, as long as its holder lives."""

    inside: tuple[str, ...]
    """What a command is put behind to be run there."""
    real: str
    """nft itself."""
    nft: str
    """A program that is nft there, wherever it is started."""

    def run(self, *command: str, text: str = "") -> str:
        """Run a command there; return what it prints. It must go well."""
        done = subprocess.run(
            [*self.inside, *command], input=text, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def own() -> list[str]:
    """Return what a command is put behind to be run in a network of its own; nothing where the system forbids it."""
    command = ["unshare", *AS_ROOT, "--net"]
    allowed = subprocess.run([*command, "true"], capture_output=True, timeout=60, check=False).returncode == 0
    return command if allowed else []


@contextmanager
def network(directory: Path) -> Iterator[Network]:
    """Make a network with nothing in it but loopback; the test is skipped, and says so, where the system forbids it."""
    command, nft = own(), find_program("nft", "nftables")
    if not command:
        pytest.skip("this system lets nobody have a network of his own: no user namespaces, and not root")
    holder = subprocess.Popen([*command, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        holder.stdin.write(b"ready\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == b"ready\n"
        inside = ("nsenter", f"--target={holder.pid}", "--user", "--preserve-credentials", "--net")
        program = directory / "nft"
        program.write_text(f'#!/bin/sh\nexec {" ".join(inside)} {nft} "$@"\n')
        program.chmod(0o755)
        made = Network(inside, nft, str(program))
        made.run("ip", "link", "set", "lo", "up")
        yield made
    finally:
        holder.stdin.close()
        holder.wait(60)
        holder.stdout.close()
