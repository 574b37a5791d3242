"""Reputation through a real process: learned, set, seen, explained, lifted, and kept over kill -9 and a restart."""

import socket
from pathlib import Path

import pytest

from smtproxy.app.cli import main
from smtproxy.stores.sqlite import read
from tests.end_to_end.programs.process import HOST, wait_until
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy
from tests.end_to_end.unknown_recipients import CountingServer, ask

pytestmark = pytest.mark.end_to_end

NOBODY = tuple(f"nobody{number}@example.org" for number in range(5))


def greeting(port: int) -> str:
    """Return how a client is greeted."""
    with socket.create_connection((HOST, port), 20) as connection, connection.makefile("rb") as replies:
        line = next(replies).decode()
        connection.sendall(b"QUIT\r\n")
        replies.read()
        return line


def written(state: Path, key: bytes) -> bool:
    """Whether the file of the store has something under a key."""
    _, rows = read(state / "store.sqlite", 0.0)
    return any(row.key == key for _, row in rows)


def test_a_harvester_goes_to_the_box_stays_there_over_kill_9_and_is_forgiven(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = directory / "box-state"
    state.mkdir()
    with CountingServer(*NOBODY) as backend:
        plan = Plan(
            [f"{HOST}:{backend.port}"],
            server={"state": str(state)},
            top="default_exemptions = false\n",
            more="[reputation]\nthreshold = 15\npenalty = '1h'\n",
        )
        with Smtproxy(directory / "boxed", plan) as proxy:
            for _ in range(2):
                assert greeting(proxy.port).startswith("220 ")
                assert ask(proxy.port, NOBODY) == {550: 5}
            (line,) = proxy.wait_lines("penalty", 1)
            assert (line["client"], line["seconds"]) == (HOST, 3600.0)
            assert greeting(proxy.port).startswith("421 4.7.0 Too much mail of 127.0.0.1 was refused lately")
            wait_until(lambda: written(state, b"1/penalty/127.0.0.1"), 20, "nothing is written")
            proxy.kill()
        with Smtproxy(directory / "again", plan, greets=b"421") as proxy:
            asked = ["-c", str(proxy.configuration)]
            assert greeting(proxy.port).startswith("421 4.7.0 ")
            assert main(["reputation", "show", *asked]) == 0
            assert "127.0.0.1: penalty for 10 unknown recipients, 2 harvests until 20" in capsys.readouterr().out
            assert main(["reputation", "forgive", HOST, *asked]) == 0
            assert (
                "127.0.0.1: penalty, what it was refused for, limit unknown_recipients, limit harvest lifted"
                in capsys.readouterr().out
            )
            assert greeting(proxy.port).startswith("220 ")


def test_a_block_is_heard_explained_kept_over_kill_9_and_lifted(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = directory / "block-state"
    state.mkdir()
    with CountingServer() as backend:
        plan = Plan([f"{HOST}:{backend.port}"], server={"state": str(state)}, top="default_exemptions = false\n")
        with Smtproxy(directory / "blocked", plan) as proxy:
            asked = ["-c", str(proxy.configuration)]
            assert greeting(proxy.port).startswith("220 ")
            assert main(["reputation", "block", "127.0.0.0/24", "--reason", "a bad lot", *asked]) == 0
            assert greeting(proxy.port).startswith("554 5.7.1 Blocked here by hand: 127.0.0.0/24 (a bad lot); ")
            wait_until(lambda: any(line["by"] == "blocked" for line in proxy.lines("session")), 20, "no line")
            (line,) = (line for line in proxy.lines("session") if line["by"] == "blocked")
            log = ["--log", str(proxy.child.output_path)]
            capsys.readouterr()
            assert main(["explain", str(line["session"]), *log]) == 0
            said = capsys.readouterr().out
            assert "connect: 554 by blocked\n  127.0.0.0/24 is blocked by " in said
            assert " (a bad lot) until 20" in said
            assert "`smtproxy reputation forgive 127.0.0.0/24` lifts that" in said
            assert main(["replay", *log, *asked]) == 0
            wait_until(lambda: written(state, b"1/entry/127.0.0.0/24"), 20, "nothing is written")
            proxy.kill()
        with Smtproxy(directory / "blocked-again", plan, greets=b"554") as proxy:
            asked = ["-c", str(proxy.configuration)]
            assert greeting(proxy.port).startswith("554 5.7.1 ")
            assert main(["reputation", "allow", HOST, *asked]) == 0
            assert ask(proxy.port, ["a@example.org", "b@foreign.example"]) == {250: 1, 550: 1}
            assert main(["reputation", "forgive", HOST, *asked]) == 0
            assert greeting(proxy.port).startswith("554 5.7.1 ")
            assert main(["reputation", "forgive", "127.0.0.0/24", *asked]) == 0
            assert greeting(proxy.port).startswith("220 ")
            assert main(["reputation", "block", "example.com", *asked]) == 0
            assert ask_sender(proxy.port) == "550 5.7.1 Blocked here by hand: example.com;"


def test_blocked_at_accept_is_a_reset_and_the_log_says_why(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = directory / "accept-state"
    state.mkdir()
    with CountingServer() as backend:
        plan = Plan(
            [f"{HOST}:{backend.port}"],
            server={"state": str(state)},
            top="default_exemptions = false\n",
            more="[checks.blocked]\nat = 'accept'\n",
        )
        with Smtproxy(directory / "accept", plan) as proxy:
            asked = ["-c", str(proxy.configuration)]
            assert greeting(proxy.port).startswith("220 ")
            assert main(["reputation", "block", HOST, *asked]) == 0
            with pytest.raises(ConnectionResetError):
                greeting(proxy.port)
            wait_until(lambda: any(line["by"] == "blocked" for line in proxy.lines("session")), 20, "no line")
            (line,) = (line for line in proxy.lines("session") if line["by"] == "blocked")
            assert (line["ended"], line["octets_out"]) == ("refused", 0)
            capsys.readouterr()
            assert main(["explain", str(line["session"]), "--log", str(proxy.child.output_path)]) == 0
            assert "127.0.0.1 is blocked by " in capsys.readouterr().out
            assert main(["reputation", "forgive", HOST, *asked]) == 0
            assert greeting(proxy.port).startswith("220 ")


def ask_sender(port: int) -> str:
    """Return the beginning of the answer to MAIL."""
    with socket.create_connection((HOST, port), 20) as connection, connection.makefile("rb") as replies:
        next(replies)
        connection.sendall(b"HELO client.example\r\n")
        next(replies)
        connection.sendall(b"MAIL FROM:<sender@example.com>\r\n")
        line = next(replies).decode()
        connection.sendall(b"QUIT\r\n")
        return line.partition(" postmaster")[0]
