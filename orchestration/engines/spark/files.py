"""Files that tasks of Spark leave for podledger, in a folder that both see.

A task may die, run twice, or run on after it was given up. So each attempt writes under a
name of its own, into a folder beside the tables, and only a file that an account accepted
by Spark names becomes part of a table; no other does.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake


@dataclass(frozen=True)
class LeftFile:
    """A file of one attempt, as its task tells of it."""

    name: str
    size_bytes: int

    @classmethod
    def at(cls, path: Path) -> LeftFile:
        """What lies there now."""
        return cls(path.name, path.stat().st_size)


@contextmanager
def exchange_folder(lake: Lake) -> Iterator[Path]:
    """Yield a folder for attempts, on the lake's file system; what is left in it goes."""
    incoming = lake.root / ".incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=incoming, prefix="spark-") as name:
        yield Path(name)


def attempt_path(exchange: Path, what: str) -> Path:
    """A path that no other attempt has."""
    return exchange / f"{what}-{uuid.uuid4().hex}.parquet"


def accept(left: LeftFile, exchange: Path, target: Path) -> None:
    """Make a file that an accepted account names the target.

    Raises:
        PodledgerError: It is not here as its task left it.
    """
    written = exchange / left.name
    if not written.is_file() or written.stat().st_size != left.size_bytes:
        raise PodledgerError(
            f"A task of Spark wrote {left.size_bytes:,} bytes to {written}, and here they"
            " are not. Nothing of it is in the lake. PODLEDGER_HOME must be one folder, at"
            " the same path, for podledger and for all executors: a shared file system"
            " (deploy/spark.md)."
        )
    written.rename(target)
