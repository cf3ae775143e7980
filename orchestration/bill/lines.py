"""A month of bill lines into the lake: ``raw/bill_lines`` and ``raw/bill_files``.

Holds which files make the month, what is recorded of each, and that both tables are
replaced or neither. What becomes of a file is in ``files.py``, who reads it in
``engines/``, and what a bill must be in ``rules.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.bill.engines import ReadFiles, local
from orchestration.bill.exports import Delivery
from orchestration.bill.files import FileRead, FileTask
from orchestration.bill.rules import BillRules
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import BILL_FILES

_MOVED_DIGITS = BILL_FILES.field("rounding_moved_usd").type.scale


@dataclass(frozen=True)
class BillRead:
    """What a month's bill came to. ``unblended_usd`` is the sum over every row."""

    row_count: int
    file_count: int
    unblended_usd: Decimal


def read_bill(
    deliveries: Sequence[Delivery],
    month: Month,
    lake: Lake,
    progress: Callable[[str], None] = lambda _: None,
    read_files: ReadFiles = local.read_files,
) -> BillRead:
    """Read the month's deliveries into ``raw/bill_lines`` and ``raw/bill_files``.

    Every row is kept, in the order of deliveries, files and rows; a file of the lake holds
    one file of the bill. Both tables are replaced, or, if anything is wrong, neither. The
    same bill gives the same bytes, whichever engine reads it.

    Args:
        deliveries: What AWS delivered, one an export.
        month: The billing month of all of them.
        lake: Where the tables lie.
        progress: Told what is read.
        read_files: What reads the files.

    Raises:
        PodledgerError: A file is damaged, lacks a column, or holds a cell that breaks a
            rule; two exports hold the same account; the bill is empty; or Spark fails.
    """
    rules = BillRules(month)
    records: list[dict[str, object]] = []
    with (
        lake.replace("raw/bill_files", month) as files_folder,
        lake.replace("raw/bill_lines", month) as lines_folder,
    ):
        of_month = [(delivery, file) for delivery in deliveries for file in delivery.files]
        tasks = [
            FileTask(delivery, file, lines_folder / f"{number:05d}.parquet")
            for number, (delivery, file) in enumerate(of_month, start=1)
        ]
        reads = read_files(tasks, lake, progress)
        for task, read in zip(tasks, reads, strict=True):
            rules.add(read.traits, task.delivery)
            records.append(_record(task, read))
        rules.finish()
        table = pa.Table.from_pylist(records, BILL_FILES)
        pq.write_table(table, files_folder / "files.parquet", store_schema=False)
    return BillRead(
        row_count=pc.sum(table["row_count"]).as_py(),
        file_count=len(records),
        unblended_usd=pc.sum(table["unblended_usd"]).as_py(),
    )


def _record(task: FileTask, read: FileRead) -> dict[str, object]:
    """One row of ``raw/bill_files``."""
    moved = read.rounding_moved_usd.quantize(Decimal(1).scaleb(-_MOVED_DIGITS))
    return {
        "root": task.delivery.root,
        "bill_export": task.delivery.export,
        "layout": task.delivery.layout,
        "delivery_id": task.delivery.delivery_id,
        "source_file": task.file.name,
        "size_bytes": task.file.size,
        "sha256": read.sha256,
        "row_count": read.row_count,
        "unblended_usd": read.unblended_usd,
        "money_usd": read.money_usd,
        "rounded_values": read.rounded_values,
        "rounding_moved_usd": moved,
        "payer_account_ids": ",".join(read.traits.payers) if read.row_count else None,
        "absent_columns": ",".join(read.absent_columns) if read.row_count else None,
    }
