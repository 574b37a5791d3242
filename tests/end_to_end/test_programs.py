"""The programs around the product fail loudly: a missing one, one that ends, one that never answers."""

import sys
from pathlib import Path

import pytest

from tests.end_to_end.programs.process import (
    Child,
    ProgramError,
    answers,
    descendants,
    find_program,
    free_port,
    open_to_servants,
    wait_until,
)
from tests.end_to_end.programs.smtp_source import Load, send
from tests.end_to_end.programs.smtproxy import Plan

pytestmark = pytest.mark.end_to_end


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(ProgramError, match="apt-get install no-such-package"):
        find_program("no-such-program", "no-such-package")


def test_a_program_that_ends_is_reported_with_its_words(tmp_path: Path) -> None:
    child = Child("short", [sys.executable, "-c", "raise SystemExit('it is over')"], tmp_path)
    with pytest.raises(ProgramError, match=r"short: ended with status 1 before it was ready; it said: it is over"):
        child.wait_ready(lambda: False)


def test_a_program_that_never_answers_is_ended(tmp_path: Path) -> None:
    port = free_port()
    child = Child("silent", [sys.executable, "-c", "input = __import__('signal').pause()"], tmp_path)
    with pytest.raises(ProgramError, match="silent: waited"):
        child.wait_ready(lambda: answers(port, b"220"), patience=0.1)
    assert not child.running


def test_a_process_tree_holds_the_children(tmp_path: Path) -> None:
    code = "import subprocess, sys; print('up', flush=True); subprocess.run([sys.executable, '-c', 'input()'], stdin=0)"
    code = f"import os; read, write = os.pipe(); os.dup2(read, 0); {code}"
    child = Child("tree", [sys.executable, "-c", code], tmp_path)
    child.wait_ready(lambda: len(descendants(child.pid)) == 2)
    pids = descendants(child.pid)
    child.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids), 5, "a child is left")


def test_two_free_ports_differ() -> None:
    assert len({free_port() for _ in range(50)}) == 50


def test_nothing_outside_the_temporary_directory_is_opened() -> None:
    with pytest.raises(ProgramError, match="refusing"):
        open_to_servants(Path("/srv/never"))


def test_smtp_source_reports_a_server_that_is_not_there() -> None:
    outcome = send(Load(messages=1), free_port())
    assert not outcome.clean
    assert outcome.status != 0


def test_a_plan_is_written_as_toml() -> None:
    plan = Plan(["127.0.0.1:1"], listener={"body": "hold"}, backend={"idle": {"connections": 0, "seconds": 1}})
    text = plan.text()
    assert 'bind = ["127.0.0.1:0"]\n' in text
    assert 'body = "hold"\n' in text
    assert '[backends.real]\nservers = ["127.0.0.1:1"]\nidle = { connections = 0, seconds = 1 }\n' in text
