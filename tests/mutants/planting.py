"""Plants faults in a copy of the tree, one at a time, and runs the tests that must see them.

The tree itself is never touched. Whatever is not clear-cut is an error and not a success: a text that is not found
once, tests that are red without any fault, a run that ends otherwise than by a failed test.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("smtproxy", "tests")
_PASSED, _FAILED = 0, 1
_FAILURE = re.compile(r"^FAILED (.*?)(?: - .*)?$", re.MULTILINE)


class UnclearError(Exception):
    """Nothing was shown, for this reason."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What became of a mutant."""

    mutant: Mutant
    caught_by: str
    """The first test that failed; empty: it survived."""


def shortened(test: str) -> str:
    """Return the name of a test without the folder that all of them are in."""
    return test.removeprefix("tests/")


def copy(target: Path) -> None:
    """Copy what the tests need."""
    for name in _COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
    shutil.copy2(ROOT / "pyproject.toml", target)


def run(tree: Path, tests: Sequence[str], *, keep_bytecode: bool = False) -> str:
    """Run tests in a copy; return the first one that failed, or an empty string. Raises UnclearError."""
    environment = dict(os.environ) | ({} if keep_bytecode else {"PYTHONDONTWRITEBYTECODE": "1"})
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "--no-header", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == _PASSED:
        return ""
    failure = _FAILURE.search(done.stdout)
    if done.returncode != _FAILED or failure is None:
        raise UnclearError(f"the tests did not run: {done.stdout[-800:]}{done.stderr[-800:]}")
    return failure[1]


def baseline(tree: Path, mutants: Sequence[Mutant]) -> None:
    """Run all tests without any fault: they must pass, and they must be the copy's. Raises UnclearError."""
    asked = "import smtproxy; print(smtproxy.__file__)"
    found = subprocess.run([sys.executable, "-c", asked], cwd=tree, capture_output=True, text=True, check=True).stdout
    if not Path(found.strip()).is_relative_to(tree):
        raise UnclearError(f"the tests would run {found.strip()}, not the copy")
    tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
    failed = run(tree, tests, keep_bytecode=True)
    if failed:
        raise UnclearError(f"red without any fault: {failed}")


def plant(tree: Path, mutant: Mutant) -> Sighting:
    """Plant a fault, see who catches it, and take it out again. Raises UnclearError."""
    with _edited(tree, mutant):
        return Sighting(mutant, run(tree, mutant.tests))


@contextmanager
def _edited(tree: Path, mutant: Mutant) -> Iterator[None]:
    touched: dict[Path, tuple[str, os.stat_result]] = {}
    try:
        for edit in mutant.edits:
            path = tree / "smtproxy" / edit.path
            text = path.read_text(encoding="utf-8")
            if text.count(edit.old) != 1:
                raise UnclearError(f"{mutant.name}: found {text.count(edit.old)} times in {edit.path}: {edit.old!r}")
            touched.setdefault(path, (text, path.stat()))
            path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
        yield
    finally:
        for path, (text, before) in touched.items():
            path.write_text(text, encoding="utf-8")
            # The byte code that the first run left is still that of this very text.
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
