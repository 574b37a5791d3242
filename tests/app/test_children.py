"""Worker processes: they do their work and nothing of their parent's, and those that die young are not hurried."""

import os
from pathlib import Path

import pytest

from smtproxy.app.children import FAILED, FIRST_PAUSE, LONGEST_PAUSE, STEADY, Pause, fork
from smtproxy.app.control import GONE, Line


def test_pauses_grow_while_workers_die_young() -> None:
    pause = Pause()
    assert [pause.after(0.1) for _ in range(4)] == [0.0, FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert max(pause.after(0.1) for _ in range(20)) == LONGEST_PAUSE
    assert pause.after(STEADY) == 0.0
    assert pause.after(0.1) == 0.0


def _ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _all(line: Line) -> list[str]:
    """Everything that is said until the other end has hung up."""
    line.sock.setblocking(True)
    words: list[str] = []
    while GONE not in words:
        words += line.hear()
    return words


def test_a_child_works_and_ends() -> None:
    pid, line = fork(lambda line: line.say("hello", str(os.getpid())))
    assert _all(line) == ["hello", str(pid), GONE]
    assert _ended(pid) == 0
    line.close()


def test_what_a_child_raises_stays_in_it(capfd: pytest.CaptureFixture[str]) -> None:
    def work(line: Line) -> None:
        raise SystemExit(f"not your matter, {line.sock.family.name}")

    pid, line = fork(work)
    assert _ended(pid) == FAILED
    assert "not your matter, AF_UNIX" in capfd.readouterr().err
    line.close()


def _descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_no_process_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_process() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = _descriptors()
    monkeypatch.setattr(os, "fork", no_process)
    with pytest.raises(BlockingIOError):
        fork(lambda _: None)
    assert _descriptors() == before
