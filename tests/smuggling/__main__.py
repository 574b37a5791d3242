"""The long enumeration: `python -m tests.smuggling --length 8` (`./do smuggling`). Prints counts and violations."""

import argparse
import os
import sys

from tests.smuggling.enumeration import enumerate_in_processes

_SHOWN = 50


def main() -> int:
    parser = argparse.ArgumentParser(prog="./do smuggling", description="Smuggling by enumeration.")
    parser.add_argument("--length", type=int, default=8, help="octets of the longest strings (%(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="(%(default)s)")
    options = parser.parse_args()
    report = enumerate_in_processes(options.length, options.processes)
    print(report)
    for violation in report.violations[:_SHOWN]:
        print(violation)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
