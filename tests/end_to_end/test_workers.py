"""Two workers, one `max_connections`: a server that counts its connections must never see more than that."""

import os
import signal
import smtplib
import threading
from pathlib import Path

import pytest

from tests.end_to_end.programs.smtproxy import Plan, Smtproxy
from tests.end_to_end.programs.taker import Taker

pytestmark = pytest.mark.end_to_end

PLACES = 3
CLIENTS = 8
EACH = 20


def _proxy(directory: Path, server: Taker, place_time: str = "30s") -> Smtproxy:
    return Smtproxy(
        directory,
        Plan(
            [f"127.0.0.1:{server.port}"],
            backend={"max_connections": PLACES, "idle": {"connections": 0, "seconds": 1}},
            server={"workers": 2},
            bounds={"place_time": place_time},
        ),
    )


def _recipient(port: int) -> tuple[smtplib.SMTP, int]:
    """A client that got as far as RCPT, and the code it heard there."""
    client = smtplib.SMTP("127.0.0.1", port, timeout=20)
    client.ehlo("client.example")
    assert client.mail("me@example.net")[0] == 250
    return client, client.rcpt("you@example.org")[0]


def test_a_worker_gets_no_place_while_the_other_one_has_all(directory: Path) -> None:
    with Taker() as server, _proxy(directory / "all-places", server, "1s") as proxy:
        one, other = proxy.workers
        os.kill(other, signal.SIGSTOP)
        holders = [_recipient(proxy.port) for _ in range(PLACES)]
        assert [code for _, code in holders] == [250] * PLACES
        os.kill(one, signal.SIGSTOP)
        os.kill(other, signal.SIGCONT)
        late, code = _recipient(proxy.port)
        assert code == 451
        # The other one lives again: it is asked for a place that nobody uses, and gives it.
        os.kill(one, signal.SIGCONT)
        assert late.rcpt("you@example.org")[0] == 250
        assert server.most == PLACES
        for client, _ in (*holders, (late, 0)):
            client.close()


def _send(port: int, failed: list[object]) -> None:
    for _ in range(EACH):
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
                client.sendmail("me@example.net", ["you@example.org"], "Subject: x\n\nx\n")
        except (OSError, smtplib.SMTPException) as error:
            failed.append(error)


def test_the_ceiling_holds_under_load(directory: Path) -> None:
    with Taker() as server, _proxy(directory / "ceiling-load", server) as proxy:
        failed: list[object] = []
        senders = [threading.Thread(target=_send, args=(proxy.port, failed)) for _ in range(CLIENTS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert failed == []
        delivered = [line for line in proxy.wait_lines("message", CLIENTS * EACH) if line["outcome"] == "delivered"]
        assert len(delivered) == CLIENTS * EACH
        assert 1 < server.most <= PLACES
