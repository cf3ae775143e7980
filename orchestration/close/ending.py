"""Ends a close at once when it is told to: on SIGTERM, and on Ctrl-C.

Dagster ends a run at its next event, and Python handles a signal when the library at work
returns; either may take minutes. Here a thread of its own is woken by the signal. It lets
the process become another program, which ends all else in it, and clears what it left.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ending_at_once(run_id: str) -> Iterator[None]:
    """End this process at once if it is told to while the block runs.

    Its exit code is then 128 and the number of the signal, as a shell's. Signals can be
    caught by the main thread alone; from another, the block runs as it is.

    Args:
        run_id: The run to clear after.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    # Dagster turns the descriptor of standard error around while a step runs.
    errors = os.dup(2)
    before = {number: signal.signal(number, _ignore) for number in _SIGNALS}
    woken_before = signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(told, errors, run_id), daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(tells)
        watch.join()
        os.close(told)
        os.close(errors)


def _ignore(_number: int, _frame: object) -> None:
    """The thread sees to it."""


def _watch(told: int, errors: int, run_id: str) -> None:
    while received := os.read(told, 1):
        if received[0] in _SIGNALS:
            os.dup2(errors, 2)
            module = "orchestration.close.stopped"
            command = [sys.executable, "-m", module, run_id, str(received[0])]
            os.execv(sys.executable, command)
