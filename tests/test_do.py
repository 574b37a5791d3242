"""`./do`: it explains itself, works from anywhere and in paths with blanks, and is quick once everything is installed.

Runs a copy of it in a tree of its own with a stand-in for Python, so that nothing is installed here.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Stands in for the Python of .venv: writes down how it was called, and where. Knows the questions ./do asks.
PYTHON = """#!/bin/bash
if [[ $1 == -V ]]; then echo 'Python 3.11.0'; exit; fi
if [[ $1 == -c && $2 == *purelib* ]]; then echo "$FAKE_PURELIB"; exit; fi
if [[ $1 == -c ]]; then exit "${FAKE_BROKEN:-0}"; fi
printf '%s|' "$PWD" "$@" >>"$FAKE_LOG"; echo >>"$FAKE_LOG"
[[ "$*" != *"${FAKE_FAILS:-nothing fails}"* ]]
"""


class Tree:
    """A copy of what ./do needs, in a directory with a blank in its name."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "a tree"
        for name in ("do", "requirements.txt", "requirements-dev.txt"):
            self.root.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.elsewhere = directory / "elsewhere"
        self.elsewhere.mkdir()
        self.site = directory / "site"
        self.site.mkdir()
        self.log = directory / "log"
        self.log.touch()
        python = self.root / ".venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(PYTHON)
        python.chmod(0o755)

    def do(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.root / "do"), *arguments],
            cwd=self.elsewhere,
            env={**os.environ, "FAKE_LOG": str(self.log), "FAKE_PURELIB": str(self.site), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def calls(self) -> list[list[str]]:
        """Return the calls of Python since the last time: working directory, then arguments."""
        calls = [line.split("|")[:-1] for line in self.log.read_text().splitlines()]
        self.log.write_text("")
        return calls


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_explains_itself(tree: Tree) -> None:
    done = tree.do()
    assert done.returncode == 0
    for command in ("run", "test", "lint", "bench", "smuggling", "mutants", "lock"):
        assert f"\n  {command} " in done.stdout
    assert tree.calls() == []


def test_unknown_command(tree: Tree) -> None:
    done = tree.do("tset")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "there is no command 'tset'" in done.stderr


def test_run_installs_what_is_locked_and_starts(tree: Tree) -> None:
    done = tree.do("run", "-c", "my config.toml")
    assert done.returncode == 0
    install, run = tree.calls()
    assert install[1:4] == ["-m", "pip", "install"]
    assert "--require-hashes" in install
    assert install[-1] == f"{tree.root}/requirements.txt"
    # Its directory stays the caller's, for whom a relative path was meant; of two -c the last one counts.
    assert run == [
        str(tree.elsewhere), "-m", "smtproxy", "run", "-c", f"{tree.root}/config.toml", "-c", "my config.toml",
    ]  # fmt: skip
    assert (tree.site / "smtproxy.pth").read_text() == f"{tree.root}\n"


def test_installs_only_once(tree: Tree) -> None:
    tree.do("smuggling")
    assert len(tree.calls()) == 2
    done = tree.do("smuggling", "--length", "8")
    assert done.stderr == ""
    assert tree.calls() == [[str(tree.root), "-m", "tests.smuggling", "--length", "8"]]


def test_installs_again_when_the_lock_changed(tree: Tree) -> None:
    tree.do("run")
    tree.calls()
    with (tree.root / "requirements.txt").open("a") as lock:
        lock.write("# changed\n")
    tree.do("run")
    assert [call[2] for call in tree.calls()] == ["pip", "smtproxy"]


def test_installs_again_when_the_tree_was_moved(tree: Tree) -> None:
    """The path of the tree stands in its .venv."""
    tree.do("run")
    tree.calls()
    moved = tree.root.with_name("another tree")
    tree.root.rename(moved)
    tree.root = moved
    tree.do("run")
    assert [call[2] for call in tree.calls()] == ["pip", "smtproxy"]
    assert (tree.site / "smtproxy.pth").read_text() == f"{moved}\n"


def test_failed_installation_is_not_taken_for_one(tree: Tree) -> None:
    done = tree.do("run", FAKE_FAILS="pip install")
    assert done.returncode != 0
    assert [call[2] for call in tree.calls()] == ["pip"]
    tree.do("run")
    assert [call[2] for call in tree.calls()] == ["pip", "smtproxy"]


def test_status_of_the_program_is_passed_on(tree: Tree) -> None:
    assert tree.do("mutants", FAKE_FAILS="tests.mutants").returncode == 1


def test_works_through_a_link(tree: Tree, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tree.root / "do")
    done = subprocess.run([str(link)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0


def test_lint_names_every_fault_before_it_fails(tree: Tree) -> None:
    tree.do("lint", FAKE_FAILS="ruff")
    calls = [" ".join(call[1:3]) for call in tree.calls()]
    assert calls == ["-m pip", "-m ruff", "-m ruff", "-m mypy", "-m pytest"]
    assert tree.do("lint", FAKE_FAILS="mypy").returncode == 1
    assert tree.do("lint").returncode == 0


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_locks_name_hashes_and_no_place(lock: str) -> None:
    """Who installs chooses the index; what is installed is decided here."""
    text = (ROOT / lock).read_text()
    requirements = [line for line in text.splitlines() if line[:1].isalnum()]
    assert len(requirements) > 10
    assert all("==" in line and line.endswith("\\") for line in requirements)
    assert text.count("--hash=sha256:") > len(requirements)
    for place in ("http", "index-url", "find-links", "file:", " @ "):
        assert place not in text
