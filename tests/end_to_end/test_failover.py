"""Two servers behind the proxy, a load that tries again, and one server that dies, hangs, answers 421 and comes back.

What was acknowledged is stored; no mail is refused for good; and the log tells the story. Last, both are gone, and the
clients are sent away before the banner.
"""

import contextlib
import itertools
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.programs.process import HOST, wait_until
from tests.end_to_end.programs.sample_server import SampleServer
from tests.end_to_end.programs.smtproxy import Line, Plan, Smtproxy
from tests.end_to_end.retrying import Ledger, sending

pytestmark = pytest.mark.end_to_end

SENDERS = 8
ENOUGH = 40
"""Mails after which a server is said to be in use."""
PATIENCE = 40.0
HURRIED = {
    **dict.fromkeys(("connect_time", "greeting_time", "hello_time"), "1s"),
    **dict.fromkeys(("mail_time", "recipient_time", "data_time"), "2s"),
}
"""Time-outs of a test: the defaults are those of RFC 5321, minutes."""
TURNS_AWAY = '[[rules]]\nat = "greeting"\ndo = [{ reply = "421 4.3.2 too busy" }, "close"]\n'
FOR_A_WHILE = TURNS_AWAY + f"connections = {list(range(80, 85))}\n"


@contextlib.contextmanager
def _load(proxy: Smtproxy) -> Iterator[Ledger]:
    """Let clients send mail after mail; at the end each brings its last one home."""
    over = threading.Event()

    def mails(client: int) -> Iterator[str]:
        for number in itertools.count():
            if over.is_set():
                return
            yield f"<{client}-{number}@example.net>"

    with sending(proxy.port, [mails(client) for client in range(SENDERS)]) as ledger:
        try:
            yield ledger
        finally:
            over.set()


@dataclass(slots=True)
class Story:
    """What the log says of the servers."""

    proxy: Smtproxy

    def about(self, event: str, server: SampleServer) -> list[Line]:
        """The lines of an event about a server so far."""
        return [line for line in self.proxy.lines(event) if line["server"] == server.name]

    def tells(self, event: str, server: SampleServer, number: int) -> Line:
        """Wait for the line of this number; -> it."""
        wait_until(lambda: len(self.about(event, server)) >= number, PATIENCE, f"{event} of {server.name}: {number}")
        return self.about(event, server)[number - 1]

    def delivered(self, server: SampleServer) -> int:
        """How many mails a server took."""
        return sum(line["outcome"] == "delivered" for line in self.about("message", server))

    def in_use(self, server: SampleServer) -> None:
        """Wait until a server has taken some more mails."""
        before = self.delivered(server)
        wait_until(lambda: self.delivered(server) >= before + ENOUGH, PATIENCE, f"no mail goes to {server.name}")


@pytest.fixture
def servers() -> Iterator[tuple[SampleServer, SampleServer]]:
    with (
        tempfile.TemporaryDirectory(prefix="smtproxy-test-") as name,
        SampleServer(Path(name) / "first") as first,
        SampleServer(Path(name) / "second") as second,
    ):
        first.start()
        second.start()
        yield first, second


def _plan(first: SampleServer, second: SampleServer, workers: int = 1) -> Plan:
    backend = {"idle": {"connections": 0, "seconds": 1}}  # each mail on a connection of its own: they can be counted
    return Plan([first.name, second.name], backend=backend, bounds=HURRIED, server={"workers": workers})


def test_one_of_two_servers_dies_hangs_answers_421_and_comes_back(
    directory: Path, servers: tuple[SampleServer, SampleServer]
) -> None:
    first, second = servers
    with Smtproxy(directory / "proxy", _plan(first, second)) as proxy:
        story = Story(proxy)
        with _load(proxy) as told:
            story.in_use(first)
            # It dies.
            first.kill()
            assert story.tells("backend_down", first, 1)["reason"]
            story.in_use(second)
            # It is there again, but takes nobody: a server that was down stays down, and there is nothing new to tell.
            first.start(TURNS_AWAY)
            story.in_use(second)
            assert len(story.about("backend_up", first)) == 1
            # It comes back, and turns clients away for a while once it is in full use.
            first.kill()
            first.start(FOR_A_WHILE)
            story.tells("backend_up", first, 2)
            story.in_use(first)
            wait_until(lambda: bool(_turned_away(story, first)), PATIENCE, "nobody heard the 421")
            story.in_use(first)
            # It hangs.
            downs, ups = len(story.about("backend_down", first)), len(story.about("backend_up", first))
            first.freeze()
            story.tells("backend_down", first, downs + 1)
            story.in_use(second)
            first.thaw()
            story.tells("backend_up", first, ups + 1)
            story.in_use(first)
        assert story.about("backend_down", second) == []
        proxy.terminate()
        messages = proxy.lines("message")
    stored = first.stored() + second.stored()
    assert told.refused == []
    assert told.acknowledged <= set(stored) <= told.begun
    assert len(told.acknowledged) > 5 * ENOUGH
    assert {line["outcome"] for line in messages} <= {"delivered", "deferred", "aborted", "unknown"}
    # A mail is there twice only where the log says that nobody could know.
    doubts = [line for line in messages if line["outcome"] == "unknown" or line["client_heard"] is False]
    assert sum(stored.values()) - len(stored) <= len(doubts)
    # The other server was there all the time: nobody was sent away before the banner.
    assert not [where for where in told.deferred if where[0] == "SMTPConnectError"]


def _turned_away(story: Story, server: SampleServer) -> list[Line]:
    lines = [*story.about("backend_full", server), *story.about("backend_down", server)]
    return [line for line in lines if str(line["reply"]).startswith("421 4.3.2 too busy")]


def _banner(proxy: Smtproxy) -> bytes:
    with socket.create_connection((HOST, proxy.port), 20) as connection:
        return connection.recv(1000)


@pytest.mark.parametrize("workers", [1, 2])
def test_clients_are_sent_to_the_next_mx_while_both_are_gone(
    directory: Path, servers: tuple[SampleServer, SampleServer], workers: int
) -> None:
    """Each worker learns it by itself, and each of them tells it."""
    first, second = servers
    with Smtproxy(directory / f"proxy-{workers}", _plan(first, second, workers)) as proxy:
        story = Story(proxy)
        with _load(proxy) as told:
            story.in_use(first)
            first.kill()
            second.kill()
            for server in servers:
                story.tells("backend_down", server, workers)
            wait_until(
                lambda: all(_banner(proxy).startswith(b"421 4.3.2 ") for _ in range(4 * workers)),
                PATIENCE,
                "the banner is still there",
            )
            for server in servers:
                server.start()
                story.tells("backend_up", server, 2 * workers)
            story.in_use(first)
        proxy.terminate()
        away = [line for line in proxy.lines("session") if line["ended"] == "no_backend"]
    assert told.refused == []
    assert told.acknowledged <= set(first.stored() + second.stored())
    assert told.deferred["SMTPConnectError", 421]
    assert {str(line["reply"])[:9] for line in away} == {"421 4.3.2"}
