"""smtp-source through the proxy to smtp-sink and to Postfix, counted by unique id, also when the proxy is ended midway.

An acknowledged mail must be stored, and none may be stored twice.
"""

import smtplib
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end import ledger
from tests.end_to_end.programs.postfix import Postfix
from tests.end_to_end.programs.process import wait_until
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtp_source import Load, Outcome
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

pytestmark = pytest.mark.end_to_end

LOAD = Load(messages=600, sessions=20)


def test_smtp_sink_has_each_acknowledged_mail_once(directory: Path) -> None:
    with SmtpSink(directory / "once-sink", keep=True) as backend:
        account = ledger.run(directory / "once-sink", backend, LOAD)
    assert account.violations() == []
    assert len(account.acknowledged) == LOAD.messages
    assert account.sessions == LOAD.messages


def test_postfix_has_each_acknowledged_mail_once(directory: Path) -> None:
    with Postfix(directory / "once-postfix") as backend:
        account = ledger.run(directory / "once-postfix", backend, LOAD)
    assert account.violations() == []
    assert len(account.acknowledged) == LOAD.messages


def test_many_mails_on_the_same_connections(directory: Path) -> None:
    load = Load(messages=600, sessions=5, same_connection=True)
    with SmtpSink(directory / "same-sink", keep=True) as backend:
        account = ledger.run(directory / "same-sink", backend, load)
    assert account.violations() == []
    assert account.sessions == load.sessions


def test_violations_are_found() -> None:
    load = Load(messages=3)
    clean = Outcome(1.0, 0, ())
    stored = Counter({"1load@example.org": 1, "2load@example.org": 2, "x@example.org": 1})
    account = ledger.Account("none", load, clean, stored, 3, 2, Counter(load.expected()))
    assert account.violations() == [
        "acknowledged and not stored: 1: 3load@example.org",
        "stored and not sent: 1: x@example.org",
        "stored more than once: 1: 2load@example.org",
        "stored and not logged as delivered, or the reverse: 3: 2load@example.org, 3load@example.org, x@example.org",
        "commit lines: 1: 2",
    ]


def _send_until_it_ends(port: int, name: str, acknowledged: set[str], enough: threading.Event) -> None:
    """Send mail after mail, one connection each; keep those recipients whose final dot was answered with 250."""
    for number in range(1, 100_000):
        recipient = f"{name}-{number}@example.org"
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as session:
                session.sendmail("source@example.net", recipient, f"Subject: {recipient}\n\n" + "x" * 3000)
                acknowledged.add(recipient)
        except (OSError, smtplib.SMTPException):
            return
        if len(acknowledged) > 200:
            enough.set()


@pytest.mark.parametrize("end", [Smtproxy.kill, Smtproxy.terminate], ids=["kill -9", "SIGTERM"])
def test_a_proxy_that_ends_in_mid_load_loses_nothing(directory: Path, end: Callable[[Smtproxy], object]) -> None:
    acknowledged: set[str] = set()
    enough = threading.Event()
    place = directory / f"ends-{end.__name__}"
    with SmtpSink(place, keep=True) as backend:
        with Smtproxy(place, Plan(servers=[f"127.0.0.1:{backend.port}"])) as proxy:
            senders = [
                threading.Thread(target=_send_until_it_ends, args=(proxy.port, f"sender{number}", acknowledged, enough))
                for number in range(8)
            ]
            for sender in senders:
                sender.start()
            assert enough.wait(30)
            status = end(proxy)
            for sender in senders:
                sender.join(30)
                assert not sender.is_alive()
        stored = backend.stored()
    committed = {str(line["transaction"]) for line in proxy.lines("commit")}
    finished = {str(line["transaction"]) for line in proxy.lines("message") if line["outcome"] == "delivered"}
    assert acknowledged <= set(stored)
    assert max(stored.values()) == 1
    # Each stored mail was announced, and what was not concluded is known to be unknown.
    assert len(committed) >= len(stored)
    assert len(finished) >= len(acknowledged)
    assert finished <= committed
    if end is Smtproxy.terminate:
        assert status == 0
        assert finished == committed
        wait_until(lambda: len(proxy.lines("stopped")) == 1, 5, "no line `stopped`")
