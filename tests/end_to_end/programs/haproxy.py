"""haproxy in tcp mode, one thread: the cheapest thing that can stand in front of a mail server.

It must listen on loopback only.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.end_to_end.programs.process import HOST, Child, answers, find_program, free_port, on_cores

CONNECTIONS = 9000
"""Two descriptors each, below the 20,000 that machines of this kind allow a process."""

_CONFIGURATION = """\
global
    nbthread 1
    maxconn {connections}
defaults
    mode tcp
    timeout connect 10s
    timeout client 10m
    timeout server 10m
listen mail
    bind {host}:{port}
    server backend {host}:{backend}{options}
"""


class Haproxy:
    """A running haproxy; use it in a `with` statement."""

    def __init__(self, directory: Path, backend: int | str, *, options: str = "", cores: Sequence[int] = ()) -> None:
        """Start it before a server on this port; `options` stand behind its address, as in " send-proxy-v2".

        A text is the whole configuration; where it says `bind :25` it gets a port of ours.
        """
        program = find_program("haproxy", "haproxy")
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        configuration = directory / "haproxy.cfg"
        configuration.write_text(
            backend.replace("bind :25", f"bind {HOST}:{self.port}")
            if isinstance(backend, str)
            else _CONFIGURATION.format(
                connections=CONNECTIONS, host=HOST, port=self.port, backend=backend, options=options
            )
        )
        with on_cores(cores):
            self.child = Child("haproxy", [program, "-db", "-f", str(configuration)], directory)
        self.child.wait_ready(lambda: answers(self.port, b"220"))

    @property
    def pid(self) -> int:
        """The root of its process tree."""
        return self.child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()
