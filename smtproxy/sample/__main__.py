"""Starts the sample backend's command line: `python -m smtproxy.sample`; nothing else may stand here."""

import sys

from smtproxy.sample.command import main

if __name__ == "__main__":
    sys.exit(main())
