"""`python -m tests.mutants [NAME...]`: plants each known fault in a copy of the code and shows which test catches it.

Exit status 1: a mutant survived, or nothing could be shown.
"""

import sys
import tempfile
from pathlib import Path

from tests.mutants.catalogue import MUTANTS
from tests.mutants.planting import UnclearError, baseline, copy, plant, shortened


def main(names: list[str]) -> int:
    """Return the exit status."""
    mutants = [mutant for mutant in MUTANTS if not names or any(name in mutant.name for name in names)]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="smtproxy-mutants-") as directory:
        tree = Path(directory)
        copy(tree)
        try:
            baseline(tree, mutants)
            for mutant in mutants:
                sighting = plant(tree, mutant)
                survivors += not sighting.caught_by
                print(f"{mutant.name:55} {shortened(sighting.caught_by) or 'SURVIVED'}", flush=True)
        except UnclearError as reason:
            print(reason)
            return 1
    print(f"{len(mutants)} mutants, {survivors} survived")
    return 1 if survivors or not mutants else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
