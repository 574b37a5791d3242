"""Each fault planted in a copy of the code is caught by a named test. `./do mutants` prints who caught which."""

from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Edit, Mutant
from tests.mutants.planting import UnclearError, baseline, copy, plant


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree in which all tests that are needed pass."""
    target = tmp_path_factory.mktemp("mutants")
    copy(target)
    baseline(target, MUTANTS)
    return target


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_is_caught(tree: Path, mutant: Mutant) -> None:
    assert plant(tree, mutant).caught_by


def test_the_faults_that_were_asked_for_are_among_them() -> None:
    names = {mutant.name for mutant in MUTANTS}
    assert len(names) == len(MUTANTS)
    assert names >= {
        "250 without the backend's",
        "commit on close",
        "a stale 250 paired with the dot",
        "a refused RCPT forwarded",
        "a 4xx at the dot becomes 250",
        "a 4xx at the dot becomes nothing",
        "two replies of the backend swapped",
        "a body line becomes a lone dot",
        "LAST before the verdict",
    }


def test_a_fault_whose_place_is_gone_is_an_error(tree: Path) -> None:
    mutant = Mutant("lost", (Edit("session/commit.py", "this text is nowhere", ""),), ())
    with pytest.raises(UnclearError, match="found 0 times"):
        plant(tree, mutant)
