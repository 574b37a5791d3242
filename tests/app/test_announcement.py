"""The first lines that a new user sees."""

import socket
from pathlib import Path

import pytest

from smtproxy.app.announcement import announce
from smtproxy.app.config import load
from smtproxy.session.records import Event
from tests.end_to_end.programs.smtproxy import Plan
from tests.fakes.journal import FakeJournal


@pytest.mark.parametrize(
    ("domains", "recipient"), [(["example.net", "example.com"], "you@example.net"), (["*"], "you@example.org")]
)
def test_the_sample_is_introduced_once_with_a_command_to_try(
    tmp_path: Path, domains: list[str], recipient: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(Plan(["embedded:exchange"], listener={"domains": domains}).text())
    journal = FakeJournal()
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        announce(load(str(file)), [(0, one), (0, other)], journal)
        ports = [sock.getsockname()[1] for sock in (one, other)]
    assert [line["address"] for line in journal.of(Event.LISTENING)] == [f"127.0.0.1:{port}" for port in ports]
    (sample,) = journal.of(Event.SAMPLE_BACKEND)
    assert f"127.0.0.1 {ports[0]} me@example.net {recipient} " in str(sample["try"])
    assert "goes nowhere" in str(sample["warning"])


def test_a_real_server_needs_no_introduction(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(Plan(["127.0.0.1:2600"]).text())
    journal = FakeJournal()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        announce(load(str(file)), [(0, sock)], journal)
    assert len(journal.of(Event.LISTENING)) == 1
    assert journal.of(Event.SAMPLE_BACKEND) == []
