"""The lake: Parquet files, hive-partitioned by billing month.

Holds where a table's month lies and how it is replaced as a whole. What the columns are
is in ``schemas.py``; who fills a table is its room's business.

A lake in S3 has a working copy on this machine, and all rooms see that folder. How a month
lies in S3 is in ``generations.py``.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestration.months import Month


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
            from orchestration.generations import tables

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
                from orchestration.generations import write

                write(self.remote, table, month, incoming)
            self._swap(incoming, self.partition(table, month))

    @contextmanager
    def _incoming(self) -> Iterator[Path]:
        incoming = self.root / ".incoming" / uuid.uuid4().hex
        incoming.mkdir(parents=True)
        try:
            yield incoming
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _swap(self, incoming: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        outgoing = incoming.with_suffix(".old")
        if target.exists():
            target.replace(outgoing)
        try:
            incoming.replace(target)
        except OSError:
            if outgoing.exists():
                outgoing.replace(target)
            raise
        shutil.rmtree(outgoing, ignore_errors=True)

    def _fetch(self, remote: str, table: str, month: Month) -> bool:
        """Make the working copy of a month what S3 has; False if S3 has none of it."""
        # Imported here and above because a lake in a folder needs no boto3.
        from orchestration.generations import State, fetch

        target = self.partition(table, month)
        with self._incoming() as incoming:
            state = fetch(remote, table, month, held=target, into=incoming)
            if state is State.FETCHED:
                self._swap(incoming, target)
        return state is not State.ABSENT
