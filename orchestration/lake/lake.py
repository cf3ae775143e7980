"""The lake: Parquet files, hive-partitioned by billing month.

Holds where a table's month lies and how it is replaced as a whole. What the columns are
is in ``schemas.py``; who fills a table is its room's business.

A lake in S3 has a working copy on this machine, and all rooms see that folder. How a month
lies in S3 is in ``generations.py``.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestration.lake.locks import locked, try_lock
from orchestration.lake.months import Month


@dataclass(frozen=True)
class Lake:
    """The lake beneath ``home``: ``lake/<table>/billing_month=YYYY-MM-01/*.parquet``.

    Attributes:
        home: A folder.
        remote: ``s3://bucket/prefix`` where the lake is kept, ``home`` being the working
            copy; None if it is kept in ``home``.
    """

    home: Path
    remote: str | None = None

    @property
    def root(self) -> Path:
        """Folder of all tables."""
        return self.home / "lake"

    def partition(self, table: str, month: Month) -> Path:
        """Folder of one table's month; it may not exist."""
        return self.root / table / f"billing_month={month.key}"

    def files(self, table: str, month: Month) -> list[Path]:
        """Parquet files of one table's month, by name; fetched first where S3 has others.

        Raises:
            PodledgerError: S3 refuses, or does not hold what its pointer names.
        """
        if self.remote and not self._fetch(self.remote, table, month):
            return []
        return sorted(self.partition(table, month).glob("*.parquet"))

    def fetch_month(self, month: Month) -> None:
        """Bring every table's month to the working copy, for who reads the folders alone.

        Raises:
            PodledgerError: S3 refuses, or does not hold what a pointer names.
        """
        if self.remote:
            from orchestration.lake.generations import tables

            for table in tables(self.remote, month):
                self._fetch(self.remote, table, month)

    @contextmanager
    def replace(self, table: str, month: Month) -> Iterator[Path]:
        """Yield an empty folder that becomes the table's month if nothing is raised.

        The old month stays in place until then, and for good if anything goes wrong.
        """
        with self._incoming() as incoming:
            yield incoming
            if self.remote:
                from orchestration.lake.generations import write

                write(self.remote, table, month, incoming)
            self._swap(incoming, self.partition(table, month))

    def settle(self) -> int:
        """Undo what killed processes left half done, and return how many left something.

        A month that was moved away, and whose new files had not come yet, is put back.
        What another process is at work with stays.
        """
        settled = 0
        for lock in sorted(self._workshop.glob("[!.]*.lock")):
            with lock.open("w") as file:
                if not try_lock(file):
                    continue
                incoming = lock.with_suffix("")
                self._put_back(_outgoing(incoming))
                shutil.rmtree(incoming, ignore_errors=True)
                lock.unlink(missing_ok=True)
                settled += 1
        for path in self._workshop.glob("*"):
            # Of an older version, or of a process that was killed as it began.
            is_old = time.time() - path.stat().st_mtime > _UNLOCKED_SECONDS
            is_hidden = path.name.startswith(".")
            if is_old and (is_hidden or not path.with_suffix(".lock").exists()):
                remove(path)
                settled += 1
        return settled

    @property
    def _workshop(self) -> Path:
        return self.root / ".incoming"

    @contextmanager
    def _incoming(self) -> Iterator[Path]:
        """An empty folder, and beside it a lock that is held as long as it is in use."""
        incoming = self._workshop / uuid.uuid4().hex
        self._workshop.mkdir(parents=True, exist_ok=True)
        with locked(incoming.with_suffix(".lock")):
            try:
                incoming.mkdir()
                yield incoming
            finally:
                shutil.rmtree(incoming, ignore_errors=True)

    def _swap(self, incoming: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        # The name of the month is kept, so that a later process can put it back.
        outgoing = _outgoing(incoming)
        moved = outgoing / target.relative_to(self.root)
        if target.exists():
            moved.parent.mkdir(parents=True)
            target.replace(moved)
        try:
            incoming.replace(target)
        except OSError:
            self._put_back(outgoing)
            raise
        shutil.rmtree(outgoing, ignore_errors=True)

    def _put_back(self, outgoing: Path) -> None:
        for moved in outgoing.glob("**/billing_month=*"):
            target = self.root / moved.relative_to(outgoing)
            if not target.exists():
                moved.replace(target)
        shutil.rmtree(outgoing, ignore_errors=True)

    def _fetch(self, remote: str, table: str, month: Month) -> bool:
        """Make the working copy of a month what S3 has; False if S3 has none of it."""
        # Imported here and above because a lake in a folder needs no boto3.
        from orchestration.lake.generations import State, fetch

        target = self.partition(table, month)
        with self._incoming() as incoming:
            state = fetch(remote, table, month, held=target, into=incoming)
            if state is State.FETCHED:
                self._swap(incoming, target)
        return state is not State.ABSENT


_UNLOCKED_SECONDS = 24 * 3600
"""How long what has no lock may yet be in use."""


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _outgoing(incoming: Path) -> Path:
    """Where the month lies that makes room for a new one."""
    return incoming.with_suffix(".old")
