"""The command: what is asked, who is said to ask, and what is a mistake."""

import getpass
from pathlib import Path

import pytest

from smtproxy.app import reputation_command
from smtproxy.app.cli import main
from smtproxy.app.reputation_command import person

MINIMAL = """
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:25"]
"""


def configuration(directory: Path, server: str = 'state = "."') -> str:
    file = directory / "config.toml"
    file.write_text(f"[server]\n{server}\n{MINIMAL}")
    return str(file)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Two workers that answer, the first of them too busy; what they were asked."""
    heard: list[tuple[str, ...]] = []

    def ask(_state: Path, *question: str) -> dict[str, list[dict[str, object]]]:
        heard.append(question)
        return {"worker-1": [{"says": "is asked by too many at once"}], "worker-2": [{"says": "done", "badness": 3}]}

    monkeypatch.setattr(reputation_command, "ask_workers", ask)
    monkeypatch.setenv("SUDO_USER", "anna")
    return heard


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (["show"], ("show", "")),
        (["show", "192.0.2.9/24"], ("show", "192.0.2.0/24")),
        (["forgive", "Example.NET"], ("forgive", "example.net")),
        (["block", "192.0.2.1"], ("block", "192.0.2.1", "86400.0", "anna", "")),
        (["allow", "192.0.2.1"], ("allow", "192.0.2.1", "2592000.0", "anna", "")),
        (
            ["block", "192.0.2.1", "--for", "2h", "--reason", "a bad lot"],
            ("block", "192.0.2.1", "7200.0", "anna", "a bad lot"),
        ),
    ],
)
def test_a_worker_is_asked(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    asked: list[tuple[str, ...]],
    arguments: list[str],
    question: tuple[str, ...],
) -> None:
    assert main(["reputation", *arguments, "-c", configuration(tmp_path)]) == 0
    assert asked == [("reputation", *question)]
    assert capsys.readouterr() == ("  done [badness=3]\n", "")


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["show", "nonsense"], '"nonsense" is neither an address, nor a network, nor a domain'),
        (["block", "192.0.2.0/23"], "192.0.2.0/23: networks can be /32, /24, /16, /8; name several of these"),
        (["block", "192.0.2.1", "--for", "soon"], "--for: "),
        (["block", "192.0.2.1", "--for", "31d"], "--for: must be between 1ms and 30d"),
        (["block", "192.0.2.1", "--reason", "ä"], "--reason: must be printable ASCII: it stands in a reply"),
        (["block", "192.0.2.1", "--reason", "x" * 54], "--reason: there is room for 53 characters"),
    ],
)
def test_mistakes(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    asked: list[tuple[str, ...]],
    arguments: list[str],
    wrong: str,
) -> None:
    assert main(["reputation", *arguments, "-c", configuration(tmp_path)]) == 2
    assert wrong in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize(("server", "why"), [("", "server.state is not set"), ('state = "."', "no worker listens in")])
def test_there_is_nobody_to_be_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: str, why: str) -> None:
    assert main(["reputation", "show", "-c", configuration(tmp_path, server)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"there is no worker to be asked: {why}" in said.err


@pytest.mark.parametrize(
    ("name", "written"), [("anna", "anna"), ("DOMAIN\\Anna B", "DOMAIN_Anna_B"), ("x" * 40, "x" * 16)]
)
def test_whoever_asks_has_a_name_of_one_word(monkeypatch: pytest.MonkeyPatch, name: str, written: str) -> None:
    monkeypatch.setenv("SUDO_USER", name)
    assert person() == written


def test_who_has_no_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("no such uid")

    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert person().isdigit()
