"""Runs one command and buries all its orphans: `python -m tests.end_to_end.programs.reaper COMMAND ...`.

Postfix's master ends without waiting for its children. In a container whose first process does not wait for strangers
they would stay in the process table for ever, hundreds after each run. This process is their next of kin until the last
has gone, and must never do anything else.
"""

import ctypes
import os
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h"""


def main() -> int:
    """Return the command's exit status after all its descendants have ended."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        print(f"prctl: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return 1
    command = subprocess.Popen(sys.argv[1:])
    status = 0
    while True:
        try:
            pid, ended = os.wait()
        except ChildProcessError:
            return status
        if pid == command.pid:
            status = os.waitstatus_to_exitcode(ended)
            command.returncode = status


if __name__ == "__main__":
    sys.exit(main())
