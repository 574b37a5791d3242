"""The bench of sessions of each kind: each row is what it says, in small."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.scale import CASES, Case, held, measure, operation
from tests.end_to_end.programs.process import ProgramError

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that servers without privileges may reach."""
    with tempfile.TemporaryDirectory(prefix="smtproxy-test-") as name:
        yield Path(name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_kind_of_session_goes_as_its_row_says(case: Case, directory: Path) -> None:
    (spent,) = measure(directory / str(CASES.index(case)), case, sessions=10, rounds=1)
    assert spent >= 0


def test_sessions_that_are_kept_waiting_are_there(directory: Path) -> None:
    assert 1 < held(directory / "held", sessions=50) < 200


def test_a_session_that_goes_otherwise_is_no_figure(directory: Path) -> None:
    wrong = Case("refused, as it were", [(b"EHLO client.example.net\r\n", b"5")])
    with pytest.raises(ProgramError, match="10 of 10 sessions"):
        measure(directory / "wrong", wrong, sessions=10, rounds=1)


def test_an_operation_of_the_store(directory: Path) -> None:
    found = operation(directory, count=200)
    assert min(found.cpu, found.waited, found.rate) > 0
