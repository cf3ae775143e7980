"""What a close becomes when it is told to end: it clears after itself, and is gone.

Run as ``python -m orchestration.close.stopped RUN_ID SIGNAL``, by ``ending.py`` alone.
"""

from __future__ import annotations

import os
import signal
import sys


def main(run_id: str, number: int) -> None:
    """Clear what a run left that was told to end, and exit as a shell would say it."""
    # A second signal ends this too; the next close then clears.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_DFL)
    name = signal.Signals(number).name
    say(f"podledger: stopped by {name}; clearing what the close left")
    from orchestration.close.leftovers import clear, stop_processes
    from orchestration.close.presence import one_at_a_time
    from orchestration.engines.instance import open_instance
    from orchestration.lake.settings import Settings

    stop_processes(run_id)

    settings = Settings()
    with open_instance(settings) as instance, one_at_a_time(settings.home):
        if run := instance.get_run_by_id(run_id):
            instance.report_run_canceled(run, f"It was stopped by {name}.")
        clear(settings, instance, lambda _: None)
    say("podledger: cleared; what was published is as it was")
    os._exit(128 + number)


def say(line: str) -> None:
    """Write a line to standard error, and the cursor, which a moving line had hidden."""
    shown = "\r\x1b[2K\x1b[?25h" if sys.stderr.isatty() else ""
    print(f"{shown}{line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
