"""The sample backend as a process: it says where it listens, plays its script, writes its record, ends at a signal."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smtproxy.sample.command import main
from tests.sample.play import ENVELOPE, MESSAGE

ROOT = Path(__file__).parents[2]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[str, int]]:
    """The process's address, while it runs."""
    command = [sys.executable, "-m", "smtproxy.sample", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": "."}) as process:
        assert process.stdout is not None
        try:
            listening = json.loads(process.stdout.readline())
            assert listening["event"] == "listening"
            yield listening["host"], listening["port"]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0


def session(address: tuple[str, int]) -> list[bytes]:
    """A whole session; -> the last line of each answer."""
    answers = []
    with socket.create_connection(address, timeout=10) as connection, connection.makefile("rwb") as file:
        for octets in (
            b"",
            b"EHLO a\r\n",
            *ENVELOPE.splitlines(keepends=True),
            b"DATA\r\n",
            MESSAGE + b".\r\n",
            b"QUIT\r\n",
        ):
            file.write(octets)
            file.flush()
            while (line := file.readline())[3:4] == b"-":
                pass
            answers.append(line)
    return answers


def test_a_process(tmp_path: Path) -> None:
    script, record, store = tmp_path / "faults.toml", tmp_path / "record.jsonl", tmp_path / "mail"
    script.write_text('[[rules]]\nat = "quit"\ndo = [{ reply = "221 scripted" }, "close"]\n', encoding="utf-8")
    with running("--script", str(script), "--record", str(record), "--store", str(store)) as address:
        answers = session(address)
    assert [answer[:3] for answer in answers] == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]
    assert b"goes nowhere" in answers[0]
    assert answers[-1] == b"221 scripted\r\n"
    message, connection = map(json.loads, record.read_text(encoding="utf-8").splitlines())
    assert (message["event"], message["body"], message["accepted"]) == ("message", MESSAGE.decode(), True)
    assert (connection["event"], connection["ended"], connection["violations"]) == ("connection", "close", [])
    assert [file.read_bytes() for file in store.glob("*.eml")] == [MESSAGE]


def test_profile_and_limit_of_connections() -> None:
    with (
        running("--profile", "postfix", "--per-source", "1") as address,
        socket.create_connection(address, timeout=10) as first,
    ):
        assert first.recv(100).startswith(b"220 ")
        with socket.create_connection(address, timeout=10) as second:
            assert second.recv(100).startswith(b"421 4.7.0 ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "192.0.2.1"], "loopback"),
        (["--script", "/nonexistent/script.toml"], "No such file"),
        (["--record", "/nonexistent/record"], "No such file"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 2
    assert "in use" in capsys.readouterr().err


def test_a_script_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "faults.toml"
    script.write_text("rules = 1", encoding="utf-8")
    assert main(["--script", str(script)]) == 2
    assert "a script is a list of tables" in capsys.readouterr().err


def test_an_unknown_profile() -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--profile", "sendmail"])
    assert raised.value.code == 2
