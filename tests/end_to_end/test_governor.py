"""The governor with a real smtproxy: a list that begins to list the world, but not its test points, delays mail.

Its fuse cannot see that (RFC 5782 test points are well); senders that have had mail delivered before are refused all of
a sudden, so the check says 4xx instead of 5xx, and is believed again when the list has come to its senses.
"""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.programs.process import HOST
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy
from tests.fakes.name_server import NameServer, name_of, nobody, reply

pytestmark = pytest.mark.end_to_end

BALANCER = "127.0.0.2"
"""By way of which clients come from addresses that are not of this machine."""
MORE = """
[[lists]]
name = "mylist"
zone = "list.test"
[checks.sender_domain]
action = "off"
[governor]
window = "2s"
good = 3
"""
NETWORKS = range(1, 21)
WINDOW = 2.0
"""Seconds, as above."""


def well(question: bytes) -> list[bytes]:
    """A list that has its test point, and nobody else."""
    name = name_of(question)
    if name == "2.0.0.127.list.test":
        return [reply(question, f"{name}. 1 IN A 127.0.0.2")]
    return nobody(question)


def mad(question: bytes) -> list[bytes]:
    """It lists every client there is, and is well where it is tested."""
    name = name_of(question)
    return [reply(question, f"{name}. 1 IN A 127.0.0.2")] if name.endswith(".51.198.list.test") else well(question)


def send(port: int, client: str) -> str:
    """Send a mail by way of a balancer; return the code of RCPT, or of the final dot where that was 250."""
    with socket.create_connection((HOST, port), 20, (BALANCER, 0)) as sock, sock.makefile("rwb") as peer:

        def say(text: str) -> str:
            peer.write(f"{text}\r\n".encode())
            peer.flush()
            line = peer.readline()
            while line[3:4] == b"-":
                line = peer.readline()
            return line[:3].decode()

        say(f"PROXY TCP4 {client} {HOST} 4711 25")
        say("EHLO client.test")
        say("MAIL FROM:<a@good.test>")
        code = say("RCPT TO:<user@example.org>")
        if code == "250":
            say("DATA")
            code = say("From: a@good.test\r\n\r\nx\r\n.")
        say("QUIT")
    return code


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[SmtpSink]:
    with SmtpSink(tmp_path / "sink") as running:
        yield running


def test_a_list_that_lists_the_world_soon_delays_mail_only(tmp_path: Path, sink: SmtpSink) -> None:
    with NameServer(well) as server:
        plan = Plan(
            [f"{HOST}:{sink.port}"],
            listener={"proxy_protocol": [BALANCER]},
            quotas={"exempt": ["0.0.0.0/0"]},
            dns={"servers": [f"{HOST}:{server.port}"]},
            more=MORE,
        )
        with Smtproxy(tmp_path / "proxy", plan) as proxy:
            for number in range(1, 4):
                assert {send(proxy.port, f"198.51.{network}.{number}") for network in NETWORKS} == {"250"}
            server.behaviour = mad
            heard = [send(proxy.port, f"198.51.{network}.9") for network in NETWORKS]
            # Three of them had to be refused before anybody could know.
            assert heard == ["550"] * 3 + ["450"] * (len(NETWORKS) - 3)
            (line,) = proxy.wait_lines("check_demoted", 1)
            assert (line["check"], line["good"], line["level"]) == ("dnsbl", 3, "error")
            messages = proxy.wait_lines("message", 80)[60:]
            assert {(one["outcome"], one["by"]) for one in messages[3:]} == {("deferred", "dnsbl")}
            said = [note for one in messages[3:] for note in one["findings"] if note["check"] == "dnsbl"]  # type: ignore[attr-defined]
            assert {note["because"] for note in said} == {"governor"}
            server.behaviour = well
            number = 10
            while not proxy.lines("check_restored"):
                assert number < 200
                assert {send(proxy.port, f"198.51.{network}.{number}") for network in NETWORKS} == {"250"}
                number += 1


def test_strangers_are_enough_where_a_list_hardly_ever_refused(tmp_path: Path, sink: SmtpSink) -> None:
    """Nobody has a history; the check refuses far more networks than it used to."""

    def answer(round_: int) -> list[str]:
        """Let 250 networks come, one after the other (198.18.0.0/15, RFC 2544); never twice from one address."""
        return [send(proxy.port, f"198.18.{network}.{round_}") for network in range(250)]

    def lists_all(question: bytes) -> list[bytes]:
        name = name_of(question)
        return [reply(question, f"{name}. 1 IN A 127.0.0.2")] if name.endswith(".18.198.list.test") else well(question)

    with NameServer(well) as server:
        plan = Plan(
            [f"{HOST}:{sink.port}"],
            listener={"proxy_protocol": [BALANCER]},
            quotas={"exempt": ["0.0.0.0/0"]},
            dns={"servers": [f"{HOST}:{server.port}"]},
            more=MORE.replace("good = 3", "good = 1000"),
        )
        with Smtproxy(tmp_path / "proxy", plan) as proxy:
            begin, rounds = time.monotonic(), 0
            while rounds < 2 or time.monotonic() < begin + 2 * WINDOW:
                rounds += 1
                assert set(answer(rounds)) == {"250"}
            server.behaviour = lists_all
            heard = answer(rounds + 1)
            lost = heard.count("550")
            assert 10 <= lost < 60  # a tenth of the networks of a window, which are 250 and 20 thought ones at most
            assert heard == ["550"] * lost + ["450"] * (250 - lost)
            (line,) = proxy.wait_lines("check_demoted", 1)
            assert line["check"] == "dnsbl"
            assert 10 <= int(str(line["refused"])) <= lost  # fewer where a window ended in between
