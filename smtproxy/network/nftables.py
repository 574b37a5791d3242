"""Sets of nftables, filled by its own program `nft`: an argument list and its input, never a shell.

Source: nft(8), "SETS" and "SET STATEMENT". All that is in one input is one transaction of the kernel: whoever is in a
set before and after it was never out of it. The table, its two sets and the rule that uses them are the administrator's
(deploy/nftables/blocked.nft).
"""

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import trio

from smtproxy.session.networks import Network

SETS: Final[Mapping[int, str]] = {4: "blocked4", 6: "blocked6"}
"""By the version of IP: sets with `flags timeout, interval`."""
_LONGEST_REASON: Final = 200
"""Characters: nft shows the line at fault, too."""


class NftError(Exception):
    """The sets could not be filled; the text says why."""


@dataclass(frozen=True, slots=True)
class Element:
    """What is to be in a set."""

    network: Network
    seconds: int
    """After which the kernel takes it out."""


def replacing(table: str, elements: Iterable[Element]) -> str:
    """Return the input after which the sets have these elements and no others; `table`: family and name.

    No two of the same version may overlap: the kernel would refuse all.
    """
    lines = [f"flush set {table} {name}" for name in SETS.values()]
    of_version: dict[int, list[str]] = {version: [] for version in SETS}
    for one in elements:
        of_version[one.network.version].append(f"{one.network} timeout {one.seconds}s")
    lines += [
        f"add element {table} {SETS[version]} {{ {', '.join(texts)} }}"
        for version, texts in of_version.items()
        if texts
    ]
    return "\n".join(lines) + "\n"


async def load(text: str, program: str = "nft") -> None:
    """Give an input to nft. Raises NftError; cancelled, it ends the program."""
    try:
        done = await trio.run_process(
            [program, "-f", "-"],
            stdin=text.encode(),
            stdout=subprocess.DEVNULL,
            capture_stderr=True,
            check=False,
            deliver_cancel=_kill,
        )
    except OSError as error:
        raise NftError(f"{program}: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise NftError(said[:_LONGEST_REASON] or f"{program}: exit status {done.returncode}")


async def _kill(process: trio.Process) -> None:
    """End it at once: a worker ignores SIGTERM, and whatever it starts inherits that."""
    process.kill()
