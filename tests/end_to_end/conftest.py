"""Routes through the proxy to real servers, shared by the tests of a module.

Nothing here may skip a test because a program is missing: it fails, and says what to install.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pytest

from tests.end_to_end.programs.postfix import Postfix
from tests.end_to_end.programs.process import wait_until
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Line, Plan, Smtproxy

Backend = TypeVar("Backend", SmtpSink, Postfix)


@dataclass(frozen=True, slots=True)
class Route(Generic[Backend]):
    """A running proxy and the server behind it."""

    proxy: Smtproxy
    backend: Backend

    def line(self, event: str, message_id: str) -> Line:
        """Wait for the log line of this event about the mail with this Message-ID; there has to be exactly one."""

        def found() -> list[Line]:
            return [line for line in self.proxy.lines(event) if message_id in str(line.get("message_id"))]

        wait_until(lambda: bool(found()), 10, f"no log line `{event}` about {message_id}")
        (line,) = found()
        return line

    def session(self, line: Line) -> Line:
        """Wait for the `session` line to which another line belongs."""

        def found() -> list[Line]:
            return [session for session in self.proxy.lines("session") if session["session"] == line["session"]]

        wait_until(lambda: bool(found()), 10, f"no `session` line for {line['session']}")
        (session,) = found()
        return session


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A directory that servers without privileges may reach: pytest takes care that nobody can reach its own ones."""
    with tempfile.TemporaryDirectory(prefix="smtproxy-test-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def sink_route(directory: Path) -> Iterator[Route[SmtpSink]]:
    with (
        SmtpSink(directory / "sink", keep=True) as backend,
        Smtproxy(directory / "proxy-sink", Plan(servers=[f"127.0.0.1:{backend.port}"])) as proxy,
    ):
        yield Route(proxy, backend)


@pytest.fixture(scope="module")
def postfix_route(directory: Path) -> Iterator[Route[Postfix]]:
    with (
        Postfix(directory / "postfix") as backend,
        Smtproxy(directory / "proxy-postfix", Plan(servers=[f"127.0.0.1:{backend.port}"])) as proxy,
    ):
        yield Route(proxy, backend)
