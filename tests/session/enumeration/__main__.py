"""`python -m tests.session.enumeration`: plays all schedules; says how many, what is impossible, what is wrong."""

import sys
import time

from tests.session.enumeration.configurations import configurations
from tests.session.enumeration.verdict import Tally, enumerate_all

_SHOWN = 40


def main() -> int:
    """Return the exit status: 1 if a schedule violates the contract."""
    tally = Tally()
    start = time.perf_counter()
    settings = list(configurations())
    for configuration in settings:
        enumerate_all(configuration, tally)
    print(f"{tally.schedules} schedules under {len(settings)} configurations in {time.perf_counter() - start:.0f} s")
    print(f"{sum(tally.impossible.values())} combinations of step and fault are impossible:")
    for reason, count in tally.impossible.most_common():
        print(f"{count:8} {reason}")
    print(f"{len(tally.violations)} violations")
    for violation in tally.violations[:_SHOWN]:
        print(f"  {violation}")
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
