"""The Spark engine: each file of the bill read by one task, where there is room.

Holds how files are dealt out and how what was read comes back. Tasks read with our own
reader and not with Spark's: it types a column by the file that it is in, counts rows for
its errors, and writes the bytes that the local engine writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from pydantic import TypeAdapter

from orchestration.bill.files import FileRead, FileTask, read_file
from orchestration.engines.spark.files import (
    LeftFile,
    accept,
    attempt_path,
    exchange_folder,
)
from orchestration.engines.spark.session import open_spark
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake


@dataclass(frozen=True)
class Account:
    """What became of one file.

    Attributes:
        number: Its place among the tasks.
        read: What was read of it.
        left: The file made of its lines, if it has any.
        error: Why it could not be read, for the user to read.
    """

    number: int
    read: FileRead | None = None
    left: LeftFile | None = None
    error: str | None = None


_ACCOUNT = TypeAdapter(Account)


def read_files(
    tasks: Sequence[FileTask], lake: Lake, progress: Callable[[str], None]
) -> Iterator[FileRead]:
    """Read all files by the tasks of Spark; as of ``ReadFiles``.

    Executors read the files where they lie here, and write below the lake: both must be
    folders that they share.
    """
    progress(f"{len(tasks):,} files of the bill go to Spark")
    with exchange_folder(lake) as exchange:
        accounts = _run(tasks, exchange)
        for account in accounts:
            if account.error is not None:
                raise PodledgerError(account.error)
        for task, account in zip(tasks, accounts, strict=True):
            if account.left is not None:
                accept(account.left, exchange, task.target)
            assert account.read is not None, "an account has what was read, or an error"
            yield account.read


def _run(tasks: Sequence[FileTask], exchange: Path) -> list[Account]:
    """Let Spark read every file, each in a partition of its own; accounts in order."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch["id"].to_pylist():
                account = _read(number, tasks[number], exchange)
                text = _ACCOUNT.dump_json(account).decode()
                yield pa.RecordBatch.from_pydict({"account": [text]})

    with open_spark() as spark:
        numbers = spark.range(0, len(tasks), 1, len(tasks))
        rows = numbers.mapInArrow(run, "account string").collect()
    accounts = [_ACCOUNT.validate_json(row.account) for row in rows]
    return sorted(accounts, key=lambda account: account.number)


def _read(number: int, task: FileTask, exchange: Path) -> Account:
    """Read one file, on an executor; what is wrong is told, or Spark would try again."""
    if not task.file.path.is_file():
        return Account(
            number,
            error=f"Spark's executors do not find {task.file.path}, a file of the bill. The"
            " folders of PODLEDGER_BILL, and PODLEDGER_HOME (PODLEDGER_WORK where it is in"
            " S3), must be the same, at the same path, for podledger and for all executors:"
            " a shared file system (deploy/spark.md).",
        )
    target = attempt_path(exchange, f"bill_lines-{number}")
    try:
        read = read_file(replace(task, target=target))
    except PodledgerError as error:
        return Account(number, error=str(error))
    return Account(number, read, LeftFile.at(target) if target.exists() else None)
