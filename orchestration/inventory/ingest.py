"""The month's pods and nodes, from the sources into the lake.

Holds the order of things: read every file once, check and cast its rows, part them by day
on disk, then fold and write a day at a time. Either all three tables of the month are
replaced or none. What a row may hold is in ``contract.py``; devices are not resolved here.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.errors import PodledgerError
from orchestration.inventory.accelerators import sharing_labels
from orchestration.inventory.casts import (
    CODED,
    MICROSECONDS_AN_HOUR,
    BadValueError,
    as_hours,
    as_quantities,
    as_seconds,
    as_text,
    parsed,
    printed,
    recoded,
)
from orchestration.inventory.contract import CONTRACTS, MAPS, Column, Content, Contract
from orchestration.inventory.fold import FILE, ROW, fold
from orchestration.inventory.maps import as_maps
from orchestration.inventory.readers import read_batches
from orchestration.inventory.sources.interface import Kind, Source, SourceFile
from orchestration.inventory.spool import Spool
from orchestration.inventory.tables import write_table
from orchestration.lake import Lake
from orchestration.months import Month
from orchestration.schemas import HOUR, INVENTORY_FILES, STRING

Progress = Callable[[str], object]
"""Called with one line for a person whenever a file was read or a table written."""

_MICROSECONDS_A_DAY = 24 * MICROSECONDS_AN_HOUR


@dataclass(frozen=True)
class InventoryRead:
    """What was read of a month's inventory.

    Attributes:
        pod_hours: Rows of ``raw/pod_hours``; 0 for a month without pods.
        node_hours: Rows of ``raw/node_hours``.
        file_count: Files read.
        days_with_pods: Days of the month that have pods.
        repeated_rows: Rows that repeated another word for word, and were folded.
        rows_of_other_months: Rows that were left out because their hour is not the month's.
    """

    pod_hours: int
    node_hours: int
    file_count: int
    days_with_pods: int
    repeated_rows: int
    rows_of_other_months: int


@dataclass(frozen=True)
class _FileRead:
    """One row of ``raw/inventory_files``, as far as it is not the file itself."""

    row_count: int
    rows_in_month: int


@dataclass(frozen=True)
class _Written:
    """What became of one kind of rows."""

    rows: int
    buckets: int
    repeated_rows: int


def ingest_inventory(
    sources: Iterable[Source],
    month: Month,
    lake: Lake,
    scratch: Path,
    progress: Progress = lambda _: None,
) -> InventoryRead:
    """Read the inventory of a month into the lake.

    Writes ``raw/pod_hours``, ``raw/node_hours`` and ``raw/inventory_files``. The same rows
    give the same bytes, whatever files, formats and order they come in.

    Args:
        sources: Where the rows come from; rows of other months are left out.
        month: The month to read.
        lake: The lake to write to; its ``landing`` keeps copies of remote files.
        scratch: Folder for about the size of the inventory while it is read.
        progress: Told each file read and each table written.

    Raises:
        PodledgerError: A source cannot be read, a value is not what the contract allows, or
            two rows of one key differ. The month keeps what it had.
    """
    landing = lake.home / "landing" / "inventory"
    files = [file for source in sources for file in source.fetch(landing)]
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="inventory-") as folder:
        work = Path(folder)
        with Spool(work / "pod_hours") as pods, Spool(work / "node_hours") as nodes:
            spools: dict[Kind, Spool] = {"pod_hours": pods, "node_hours": nodes}
            reads = []
            for position, file in enumerate(files):
                reads.append(_read_file(file, position, month, spools[file.kind], work))
                progress(
                    f"{file}: {reads[-1].rows_in_month:,} of {reads[-1].row_count:,} rows"
                    f" are in {month}"
                )
        with ExitStack() as replaced:
            folders = {
                table: replaced.enter_context(lake.replace(f"raw/{table}", month))
                for table in (*CONTRACTS, "inventory_files")
            }
            written = {
                kind: _write_rows(CONTRACTS[kind], spool, month, files, folders[kind])
                for kind, spool in spools.items()
            }
            write_table(
                _file_table(files, reads),
                folders["inventory_files"] / "inventory_files.parquet",
            )
    for kind, result in written.items():
        progress(f"raw/{kind}: {result.rows:,} rows")
    return InventoryRead(
        pod_hours=written["pod_hours"].rows,
        node_hours=written["node_hours"].rows,
        file_count=len(files),
        days_with_pods=written["pod_hours"].buckets,
        repeated_rows=sum(result.repeated_rows for result in written.values()),
        rows_of_other_months=sum(read.row_count - read.rows_in_month for read in reads),
    )


def _read_file(
    file: SourceFile, position: int, month: Month, spool: Spool, work: Path
) -> _FileRead:
    """Check and cast one file's rows of the month, and part them by day."""
    contract = CONTRACTS[file.kind]
    row_count = rows_in_month = 0
    for batch in read_batches(file, contract, work):
        numbers = np.arange(row_count, row_count + len(batch)) + 1
        row_count += len(batch)
        rows = _rows_in_month(batch, numbers, file, position, month)
        if len(rows):
            rows_in_month += len(rows)
            spool.append(rows, _buckets(rows, month, contract))
    return _FileRead(row_count, rows_in_month)


def _rows_in_month(
    batch: pa.RecordBatch, numbers: np.ndarray, file: SourceFile, position: int, month: Month
) -> pa.RecordBatch:
    """The batch's rows of the month, in the contract's form, with their origin."""
    contract = CONTRACTS[file.kind]
    with _Place(file, "usage_hour", numbers):
        hours = as_hours(batch["usage_hour"])
        _refuse_nulls(hours)
    start, end = (pa.scalar(moment.replace(tzinfo=None), HOUR) for moment in _span(month))
    is_in_month = pc.and_(pc.greater_equal(hours, start), pc.less(hours, end))
    batch = batch.filter(is_in_month)
    numbers = numbers[np.asarray(is_in_month)]
    columns = []
    for column in contract.columns:
        with _Place(file, column.name, numbers):
            columns.append(_cast(batch, column))
    columns += [
        pa.array(np.full(len(batch), position, np.int32)),
        pa.array(numbers, ROW.type),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_spooled(contract))
