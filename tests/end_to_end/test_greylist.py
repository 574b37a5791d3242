"""Greylisting with a real smtproxy: once for an organisation, and what came again passes over kill -9 and restart."""

import contextlib
import io
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from smtproxy.app.cli import main
from smtproxy.stores.sqlite import read
from tests.end_to_end.programs.process import HOST, wait_until
from tests.end_to_end.programs.redis import Redis
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy
from tests.fakes.name_server import NameServer

pytestmark = pytest.mark.end_to_end

BALANCER = "127.0.0.2"
"""By way of which clients come from addresses that are not of this machine."""
MORE = """
[greylist]
wait = "1s"
[score]
greylist = 1
[checks.sender_domain]
action = "off"
"""
FORGED = "mx.example.org"
"""Our own name: the sign by which the clients are suspicious."""


def send(port: int, client: str, sender: str) -> str:
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
        say(f"EHLO {FORGED}")
        say(f"MAIL FROM:<{sender}>")
        code = say("RCPT TO:<user@example.org>")
        if code == "250":
            say("DATA")
            code = say("From: a@example.net\r\n\r\nhello\r\n.")
        say("QUIT")
        return code


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[Plan]:
    state = tmp_path / "greylist-state"
    state.mkdir()
    with SmtpSink(tmp_path / "sink") as sink, NameServer() as dns:
        yield Plan(
            [f"{HOST}:{sink.port}"],
            listener={"proxy_protocol": [BALANCER]},
            server={"state": str(state)},
            dns={"servers": [f"{HOST}:{dns.port}"]},
            more=MORE,
        )


def written(file: Path, purpose: str) -> bool:
    return any(row.key.startswith(f"1/{purpose}/".encode()) for _, row in read(file, 0.0)[1])


def said_by(*command: str) -> str:
    output = io.TextIOWrapper(io.BytesIO())
    with contextlib.redirect_stdout(output):
        assert main(command) == 0
    output.flush()
    return output.buffer.getvalue().decode()


def test_who_came_again_passes_after_kill_9_and_after_a_restart(plan: Plan, tmp_path: Path) -> None:
    file = tmp_path / "greylist-state" / "store.sqlite"
    with Smtproxy(tmp_path / "first", plan) as proxy:
        assert send(proxy.port, "198.51.100.1", "a@example.net") == "450"
        heard = time.monotonic()
        wait_until(lambda: written(file, "grey-first"), 20, "nothing is written")
        proxy.kill()
    with Smtproxy(tmp_path / "second", plan) as proxy:
        wait_until(lambda: time.monotonic() - heard > 1.1, 20, "the clock stands")
        assert send(proxy.port, "198.51.100.2", "a@example.net") == "250", "its network is one sender"
        wait_until(lambda: written(file, "grey-pass"), 20, "nothing is written")
        proxy.kill()
    with Smtproxy(tmp_path / "third", plan) as proxy:
        assert send(proxy.port, "198.51.100.3", "other@example.com") == "250", "all its mail passes"
        assert send(proxy.port, "203.0.113.3", "other@example.com") == "450", "somebody else's does not"
        assert proxy.terminate() == 0


def test_who_comes_again_to_another_machine_has_come_again(plan: Plan, tmp_path: Path) -> None:
    """The machines share a store, and nothing else."""
    with Redis(tmp_path / "store", password="secret") as store:
        (tmp_path / "password").write_text("secret")
        shared = f'[store]\nkind = "valkey"\nservers = ["{HOST}:{store.port}"]\ntimeout = "5s"\n'
        both = replace(plan, server={}, more=f'{MORE}{shared}password_file = "{tmp_path / "password"}"\n')
        with Smtproxy(tmp_path / "one", both) as one, Smtproxy(tmp_path / "other", both) as other:
            assert send(one.port, "198.51.100.1", "a@example.net") == "450"
            heard = time.monotonic()
            wait_until(lambda: time.monotonic() - heard > 1.1, 20, "the clock stands")
            assert send(other.port, "198.51.100.2", "a@example.net") == "250"
            assert send(one.port, "198.51.100.3", "b@example.com") == "250", "its pass was given by the other one"


def test_a_decision_is_explained_and_repeated(plan: Plan, tmp_path: Path) -> None:
    with Smtproxy(tmp_path / "proxy", plan) as proxy:
        assert send(proxy.port, "198.51.100.1", "a@example.net") == "450"
        (line,) = proxy.wait_lines("message", 1)
        of_this = ("-c", str(proxy.configuration), "--log", str(proxy.child.output_path))
    said = said_by("explain", str(line["session"]), *of_this)
    assert "recipient <user@example.org>: 450 by greylist" in said
    assert "nothing has to be done: 198.51.100.0/24 is let through" in said
    assert "the fact greylist: came again before" in said
    assert 'greylist.action = "observe"' in said
    assert "again, 0 differ" in said_by("replay", *of_this)
