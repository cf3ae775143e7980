"""Closes a month in a process of its own, which tests kill.

Run as ``python -m tests.closing MONTH``; settings are the environment's. Each line that the
close has to tell is a line of standard error.
"""

import sys

from orchestration.cli.runner import close_month
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings

if __name__ == "__main__":
    errors = open(sys.stderr.fileno(), "w", buffering=1, closefd=False)  # noqa: SIM115
    try:
        close_month(
            Month.parse(sys.argv[1]), Settings(), lambda line: print(line, file=errors)
        )
    except PodledgerError as error:
        sys.exit(str(error))
