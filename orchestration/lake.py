"""The lake: Parquet files, hive-partitioned by billing month.

Holds where a table's month lies and how it is replaced as a whole. What the columns are
is in ``schemas.py``; who fills a table is its room's business.
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
    """The lake beneath ``home``: ``lake/<table>/billing_month=YYYY-MM-01/*.parquet``."""

    home: Path

    @property
    def root(self) -> Path:
        """Folder of all tables."""
        return self.home / "lake"

    def partition(self, table: str, month: Month) -> Path:
        """Folder of one table's month; it may not exist."""
        return self.root / table / f"billing_month={month.key}"

    def files(self, table: str, month: Month) -> list[Path]:
        """Parquet files of one table's month, by name."""
        return sorted(self.partition(table, month).glob("*.parquet"))

    @contextmanager
    def replace(self, table: str, month: Month) -> Iterator[Path]:
        """Yield an empty folder that becomes the table's month if nothing is raised.

        The old month stays in place until then, and for good if anything goes wrong.
        """
        target = self.partition(table, month)
        incoming = self.root / ".incoming" / uuid.uuid4().hex
        incoming.mkdir(parents=True)
        try:
            yield incoming
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
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
