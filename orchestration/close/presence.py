"""Which runs work below a home: each has a file there, and holds a lock on it.

Holds the files and the one question that is asked of them: does the run still work, or was
it killed? What is done about either is in ``turns.py`` and ``leftovers.py``.

The lock is the operating system's and goes with the process, however it ends. Where the
home is shared among machines, a lock need not be seen by the others: there the age of the
file tells, which a run touches every half minute.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestration.lake.locks import locked, try_lock

_HEARTBEAT_SECONDS = 30.0

_SILENCE = dt.timedelta(minutes=5)
"""After which a run on another machine counts as dead."""


class Presence(BaseModel):
    """What a run says of itself.

    Attributes:
        run_id: Dagster's.
        job: Name of its job.
        month: Its billing month, like 2026-10; None if it is for none.
        process: Of the operating system.
        host: Name of the machine or the container that the process is in.
        since: When it began, in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    job: str
    month: str | None
    process: int
    host: str
    since: dt.datetime

    def __str__(self) -> str:
        of_month = f" of {self.month}" if self.month else ""
        return (
            f"{self.job}{of_month} (run {self.run_id[:8]}, process {self.process} on"
            f" {self.host}, since {self.since:%Y-%m-%d %H:%M} UTC)"
        )

    @classmethod
    def of_this_process(cls, run_id: str, job: str, month: str | None) -> Presence:
        """A run that begins now, in this process."""
        return cls(
            run_id=run_id,
            job=job,
            month=month,
            process=os.getpid(),
            host=socket.gethostname(),
            since=dt.datetime.now(dt.UTC),
        )


@contextmanager
def announced(home: Path, presence: Presence) -> Iterator[None]:
    """Say below a home that a run works, for as long as it does."""
    path = _path(home, presence.run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path, presence.model_dump_json(indent=2) + "\n"):
        ended = threading.Event()
        heart = threading.Thread(target=_beat, args=(path, ended), daemon=True)
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()


def presences(home: Path) -> tuple[list[Presence], list[Presence]]:
    """The runs that work below a home, and those that were killed; the oldest first."""
    working: list[Presence] = []
    killed: list[Presence] = []
    for path in (home / "runs").glob("[!.]*.json"):
        try:
            presence = Presence.model_validate_json(path.read_bytes())
            (working if _is_held(path, presence) else killed).append(presence)
        except FileNotFoundError:
            continue  # It ended just now.
        except ValidationError:
            # A disk that was full, or another version of podledger.
            path.unlink(missing_ok=True)
    return _by_age(working), _by_age(killed)


def forget(home: Path, run_id: str) -> None:
    """Remove the file of a run that was killed."""
    _path(home, run_id).unlink(missing_ok=True)


@contextmanager
def one_at_a_time(home: Path) -> Iterator[None]:
    """Keep others from looking who works until this one is done with it."""
    folder = home / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        with suppress(OSError):  # A shared folder may know no locks.
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _path(home: Path, run_id: str) -> Path:
    return home / "runs" / f"{run_id}.json"


def _by_age(found: list[Presence]) -> list[Presence]:
    return sorted(found, key=lambda presence: presence.since)


def _is_held(path: Path, presence: Presence) -> bool:
    with path.open("r", encoding="utf-8") as file:
        is_free = try_lock(file)
        if is_free and presence.host == socket.gethostname():
            return False
        age = time.time() - os.fstat(file.fileno()).st_mtime
        return is_free is False or age < _SILENCE.total_seconds()


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(_HEARTBEAT_SECONDS):
        try:
            os.utime(path)
        except OSError:
            return
