"""Limits over several workers and several machines: exact while the shared store answers; its death costs no mail."""

import smtplib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.programs.process import HOST, answers
from tests.end_to_end.programs.redis import Redis
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

pytestmark = pytest.mark.end_to_end

TOP = "default_exemptions = false\n"
STORE = '[store]\nkind = "valkey"\nservers = ["{}:{}"]\ntimeout = "{}"\n'
SEEN = '[[limits]]\nname = "seen"\nof = "connections"\nper = "listener"\nrate = "1000/1s"\naction = "observe"\n'
LIMIT = '[[limits]]\nname = "few"\nof = "{}"\nper = "all"\nrate = "{}/1h"\nburst = {}\naction = "defer"\n'


def _limit(of: str, number: int) -> str:
    return LIMIT.format(of, 1, number)  # next to nothing leaks while a test runs


class Senders:
    """Sends mails to servers from several threads, and counts what became of each."""

    def __init__(self, ports: list[int], each: int) -> None:
        self.outcomes: Counter[str] = Counter()
        """By the code of the refusal; "sent"; the name of what else went wrong."""
        self.accepted: set[str] = set()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(port, f"{place}-", each)) for place, port in enumerate(ports)
        ]
        for one in self._threads:
            one.start()

    def _run(self, port: int, prefix: str, each: int) -> None:
        for number in range(each):
            recipient = f"{prefix}{number}@example.org"
            outcome = self._send(port, recipient)
            with self._lock:
                self.outcomes[outcome] += 1
                if outcome == "sent":
                    self.accepted.add(recipient)

    @staticmethod
    def _send(port: int, recipient: str) -> str:
        try:
            with smtplib.SMTP(HOST, port, timeout=60) as client:
                client.sendmail("a@example.net", [recipient], f"Subject: {recipient}\r\n\r\nx\r\n")
        except smtplib.SMTPRecipientsRefused as refused:
            return str(refused.recipients[recipient][0])
        except smtplib.SMTPResponseException as refused:
            return str(refused.smtp_code)
        except (OSError, smtplib.SMTPException) as error:
            return type(error).__name__
        return "sent"

    def sent(self) -> int:
        """Return how many were accepted so far."""
        with self._lock:
            return len(self.accepted)

    def done(self) -> None:
        """Wait for all of them."""
        for one in self._threads:
            one.join(120)
            assert not one.is_alive()


@pytest.fixture
def sink(directory: Path, request: pytest.FixtureRequest) -> Iterator[SmtpSink]:
    with SmtpSink(directory / f"sink-{request.node.name[:30]}", keep=True) as made:
        yield made


def _proxy(directory: Path, sink: SmtpSink, more: str, workers: int = 1, listener: str = "mx") -> Smtproxy:
    # Each client is somebody else's machine to no test: quotas of connections are not what is tried.
    quotas = {"connections_per_minute": 100_000}
    plan = Plan(
        [f"{HOST}:{sink.port}"],
        listener={"name": listener},
        server={"workers": workers},
        quotas=quotas,
        top=TOP,
        more=more,
    )
    return Smtproxy(directory, plan)


def _two_machines(stack: ExitStack, directory: Path, sink: SmtpSink, number: int) -> tuple[Redis, list[Smtproxy]]:
    """Start two proxies on one store, with so many messages for both, and wait until both count there."""
    redis = stack.enter_context(Redis(directory / "redis"))
    # Exact as long as the store answers in time: this machine may be busy.
    more = STORE.format(HOST, redis.port, "1s") + SEEN + _limit("messages", number)
    names = ("one", "two")
    proxies = [stack.enter_context(_proxy(directory / name, sink, more, listener=name)) for name in names]
    _until(lambda: all(answers(proxy.port, b"220") for proxy in proxies) and redis.keys() == len(proxies))
    return redis, proxies


def test_two_workers_let_through_so_many_and_no_more(directory: Path, sink: SmtpSink) -> None:
    with _proxy(directory / "workers", sink, _limit("messages", 40), workers=2) as proxy:
        senders = Senders([proxy.port] * 6, 20)
        senders.done()
        assert senders.outcomes == {"sent": 40, "450": 80}
        assert sink.stored() == Counter(senders.accepted)
        refused = [line for line in proxy.wait_lines("message", 120) if line["outcome"] == "deferred"]
        assert {line["by"] for line in refused} == {"limit:few"}


def test_connections_hear_421_in_place_of_a_banner(directory: Path, sink: SmtpSink) -> None:
    # The start of the proxy is watched by connections, too.
    with _proxy(directory / "connections", sink, _limit("connections", 10)) as proxy:
        senders = Senders([proxy.port], 12)
        senders.done()
        assert set(senders.outcomes) == {"sent", "421"}
        assert senders.outcomes["sent"] <= 10


def _harvest_plan(directory: Path, sink: SmtpSink, number: int, action: str, more: str = "") -> Plan:
    """Two workers that know one mailbox, and a limit of unknown ones for each client."""
    known = directory / "known.txt"
    known.write_text("anna@example.org\n")
    limit = _limit("unknown_recipients", number).replace('"defer"', f'"{action}"').replace('"all"', '"client"')
    return Plan(
        [f"{HOST}:{sink.port}"],
        sources=[{"kind": "file", "path": str(known)}],
        server={"workers": 2},
        top=TOP,
        more=limit + more,
    )


def test_who_looks_for_mailboxes_is_hung_up_on_in_his_next_session_too(directory: Path, sink: SmtpSink) -> None:
    with Smtproxy(directory / "harvest", _harvest_plan(directory, sink, 15, "drop")) as proxy:
        assert _harvested(proxy.port, 10) == [550] * 10
        assert _harvested(proxy.port, 10) == [550] * 5 + [421]
        assert _harvested(proxy.port, 10) == [421]
        assert {line["by"] for line in proxy.wait_lines("message", 3)} == {"recipients", "limit:few"}


def test_who_looks_for_mailboxes_waits_longer_each_time_in_whatever_session(directory: Path, sink: SmtpSink) -> None:
    plan = _harvest_plan(directory, sink, 3, "tarpit", 'longest_delay = "2s"\n')
    with Smtproxy(directory / "doubling", plan) as proxy:
        took = []
        for _ in range(3):
            begun = time.monotonic()
            assert _harvested(proxy.port, 2) == [550] * 2
            took.append(time.monotonic() - begun)
        lines = proxy.wait_lines("message", 3)
        said = [note for line in lines for note in line["findings"] if note["check"] == "limit:few"]  # type: ignore[attr-defined]
    assert [note["delay"] for note in said] == [1.0, 2.0, 2.0]
    assert took[0] < took[2]
    assert took[1] >= 1.0, "the fourth, in the second session"
    assert took[2] >= 4.0, "the fifth and the sixth, in the third"


def _harvested(port: int, number: int) -> list[int]:
    """Ask for so many mailboxes in one session; return the codes heard until it ends."""
    codes = []
    with socket.create_connection((HOST, port), timeout=60) as connection, connection.makefile("rb") as replies:
        for command in (
            "EHLO c.example",
            "MAIL FROM:<a@example.net>",
            *(f"RCPT TO:<u{n}@example.org>" for n in range(number)),
        ):
            if command.startswith("EHLO"):
                replies.readline()
            connection.sendall(command.encode() + b"\r\n")
            line = replies.readline()
            while line[3:4] == b"-":
                line = replies.readline()
            if command.startswith("RCPT"):
                codes.append(int(line[:3]))
            if line.startswith(b"421"):
                assert replies.read() == b""
                break
    return codes


def test_two_machines_on_one_store_let_through_so_many_and_no_more(directory: Path, sink: SmtpSink) -> None:
    with ExitStack() as stack:
        _, proxies = _two_machines(stack, directory / "exact", sink, 50)
        senders = Senders([proxy.port for proxy in proxies] * 3, 25)
        senders.done()
        assert [proxy.lines("store_down") for proxy in proxies] == [[], []]
        assert senders.outcomes == {"sent": 50, "450": 100}
        assert sink.stored() == Counter(senders.accepted)


def test_kill_9_of_the_store_under_load_loses_no_mail_and_ends_no_session(directory: Path, sink: SmtpSink) -> None:
    """Afterwards each machine counts for itself: two of them let through twice as much, and no more than that."""
    with ExitStack() as stack:
        redis, proxies = _two_machines(stack, directory / "killed", sink, 150)
        senders = Senders([proxy.port for proxy in proxies] * 3, 100)
        _until(lambda: senders.sent() >= 50)
        redis.kill()
        senders.done()
        sent = senders.outcomes["sent"]
        assert 150 <= sent <= 50 + 100 + 2 * 150
        assert senders.outcomes == {"sent": sent, "450": 600 - sent}
        assert sink.stored() == Counter(senders.accepted)
        assert [proxy.lines("crash") for proxy in proxies] == [[], []]
        assert all(proxy.lines("store_down") for proxy in proxies)


def _until(condition: Callable[[], bool]) -> None:
    ready = threading.Event()
    for _ in range(6000):
        if condition():
            return
        ready.wait(0.01)
    raise AssertionError
