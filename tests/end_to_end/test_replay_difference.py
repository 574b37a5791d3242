"""What a replay says of another configuration is true: a log of which it is known what would be decided otherwise."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.end_to_end.programs import smtp_source
from tests.end_to_end.programs.process import HOST, ROOT
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy
from tests.fakes.name_server import NameServer, name_of, nobody, reply

pytestmark = pytest.mark.end_to_end

BALANCER = "127.0.0.2"
"""By way of which clients come from addresses that are not of this machine."""
MORE = """
[governor]
enabled = false
[checks.hello]
action = "reject"
[checks.null_sender]
action = "reject"
[checks.spf]
action = "observe"
[checks.header]
action = "observe"
[[rules]]
name = "forged"
when = 'spf.result == "fail"'
then = "reject"
[[rules]]
name = "blocked"
when = 'sender_domain == "blocked.test"'
then = "observe"
[[rules]]
name = "big"
stage = "message"
when = 'size > 5000'
then = "defer"
"""
HELLOS = ("client.test", "mx.example.org")
SENDERS = ("a@good.test", "a@forged.test", "a@blocked.test", "a@missing.test", "")
RECIPIENTS = (
    ("u1@example.org",),
    ("u1@example.org", "u2@example.org"),
    ("nobody@example.org",),
    ("a@elsewhere.test",),
    ("u1@example.org", "nobody@example.org"),
)
SIZES = (100, 8000)


def zone(question: bytes) -> list[bytes]:
    """Names of senders: all but one exist, and one is nobody's."""
    name = name_of(question)
    if name not in ("good.test", "forged.test", "blocked.test", "example.net"):
        return nobody(question)
    policy = "v=spf1 -all" if name == "forged.test" else "v=spf1 +all"
    lines = {1: f"{name}. 9 IN A 198.51.7.9", 15: f"{name}. 9 IN MX 5 {name}.", 16: f'{name}. 9 IN TXT "{policy}"'}
    found = lines.get(_kind(question))
    return [reply(question, *([found] if found else []))]


def _kind(question: bytes) -> int:
    at = 12
    while question[at]:
        at += question[at] + 1
    return int.from_bytes(question[at + 1 : at + 3])


class _Client:
    """A session by way of the balancer."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection((HOST, port), 20, (BALANCER, 0))
        self._peer = self._sock.makefile("rwb")
        self.say(f"PROXY TCP4 192.0.2.77 {HOST} 4711 25")

    def say(self, text: str) -> str:
        self._peer.write(f"{text}\r\n".encode())
        self._peer.flush()
        while (line := self._peer.readline())[3:4] == b"-":
            pass
        return line[:3].decode()

    def mail(self, sender: str, recipients: tuple[str, ...], size: int) -> None:
        self.say(f"MAIL FROM:<{sender}>")
        if "250" in [self.say(f"RCPT TO:<{one}>") for one in recipients]:
            self.say("DATA")
            lines = "\r\n".join(["x" * 78] * (size // 80))
            self.say(f"From: a@good.test\r\n\r\n{lines}\r\n.")
        else:
            self.say("RSET")

    def close(self) -> None:
        self.say("QUIT")
        self._peer.close()
        self._sock.close()


def _command(*arguments: str | Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "smtproxy.app.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def past(directory: Path) -> Iterator[Path]:
    """Send 202 mails; give the directory with the log and the configuration."""
    known = [f"{number}load@example.org" for number in range(1, 61)]
    file = directory / "recipients"
    file.write_text("\n".join(["u1@example.org", "u2@example.org", *known]) + "\n")
    with SmtpSink(directory / "sink") as sink, NameServer(zone) as server:
        plan = Plan(
            [f"{HOST}:{sink.port}"],
            listener={"proxy_protocol": [BALANCER]},
            quotas={"exempt": ["0.0.0.0/0"]},
            dns={"servers": [f"{HOST}:{server.port}"]},
            # One client asks for more unknown recipients here than an honest one: the profile would slow it down.
            top="default_exemptions = false\nlimits = []\n",
            sources=[{"kind": "file", "path": str(file)}],
            more=MORE,
        )
        with Smtproxy(directory / "proxy", plan) as proxy:
            for case in product(HELLOS, SENDERS, RECIPIENTS, SIZES):
                client = _Client(proxy.port)
                client.say(f"EHLO {case[0]}")
                client.mail(*case[1:])
                client.close()
            client = _Client(proxy.port)
            for hello in reversed(HELLOS):  # refused by one name, let in by the next, in one session
                client.say(f"EHLO {hello}")
                client.say("MAIL FROM:<a@good.test>")
                client.say("RCPT TO:<u1@example.org>")
            client.close()
            smtp_source.send(smtp_source.Load(100, octets=500, keep_going=True), proxy.port)
            proxy.wait_lines("message", 202)
            proxy.terminate()
        yield directory / "proxy"


def test_the_same_configuration_decides_the_same_again(past: Path) -> None:
    log = past / "smtproxy.out"
    lines = [line for line in map(json.loads, log.read_bytes().splitlines()) if "evidence" in line]
    decisions = [one for line in lines for one in line["evidence"]["decisions"]]
    status, said = _command("replay", "-c", past / "config.toml", "--log", log)
    assert (status, said) == (0, f"{len(decisions)} decisions of {len(lines)} lines judged again, 0 differ\n")
    # Every kind of it is in there, or it would show nothing.
    assert {one.get("by", "") for one in decisions} == {
        "",
        "recipient_domain",
        "recipients",
        "hello",
        "sender_domain",
        "null_sender",
        "rule:forged",
        "rule:big",
    }
    assert len(lines) == 202


def test_another_configuration_shows_what_it_would_change(past: Path) -> None:
    other, text = past / "other.toml", (past / "config.toml").read_text()
    text = text.replace('"fail"\'\nthen = "reject"', '"fail"\'\nthen = "observe"')
    text = text.replace('blocked.test"\'\nthen = "observe"', 'blocked.test"\'\nthen = "reject"')
    text = text.replace('[checks.null_sender]\naction = "reject"', '[checks.null_sender]\naction = "off"')
    other.write_text(text)
    status, said = _command("replay", "-c", past / "config.toml", "--against", other, "--log", past / "smtproxy.out")
    assert status == 1
    # Four recipients of ours that exist in five lists, in two sizes, with the hello that is not refused.
    assert ", 18 differ\n" in said
    assert "newly accepted by rule:forged: 8\n  senders: forged.test (8)\n" in said
    assert "newly refused by rule:blocked: 8\n  senders: blocked.test (8)\n" in said
    assert "newly accepted by null_sender: 2\n  senders: <> (2)\n" in said


def test_a_refusal_is_explained_with_the_change_that_lets_it_in(past: Path) -> None:
    lines = map(json.loads, (past / "smtproxy.out").read_bytes().splitlines())
    refused = next(line for line in lines if line["event"] == "message" and line.get("by") == "rule:forged")
    status, said = _command(
        "explain", refused["transaction"], "-c", past / "config.toml", "--log", past / "smtproxy.out"
    )
    assert status == 0
    assert "recipient <u1@example.org>: 550 by rule:forged\n" in said
    assert '    then = "observe" in rule forged\n' in said
