"""A month of bill lines into the lake: ``raw/bill_lines`` and ``raw/bill_files``.

Holds the way of a line from file to lake, and how an error says where it stands. What
cells and columns mean is in ``cells.py``, ``maps.py`` and ``columns.py``; what a bill must
be is in ``rules.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.bill.cells import CODED, EXACT, BadCellError
from orchestration.bill.columns import OURS, BadColumnsError, match_columns
from orchestration.bill.exports import Delivery, DeliveryFile
from orchestration.bill.landing import file_sha256
from orchestration.bill.normal import Lines, normal_form
from orchestration.bill.rules import BillRules, check_lines
from orchestration.bill.sources import DamagedFileError, open_source
from orchestration.errors import PodledgerError
from orchestration.lake import Lake
from orchestration.months import Month
from orchestration.schemas import BILL_FILES, BILL_LINES, BILL_MONEY_COLUMNS, STRING

_MOVED_DIGITS = BILL_FILES.field("rounding_moved_usd").type.scale

_WRITTEN = pa.schema(
    [
        pa.field(column.name, CODED if column.type == STRING else column.type)
        for column in BILL_LINES
    ]
)
"""``BILL_LINES`` as it is handed to the writer: the same in Parquet, with text as codes."""


@dataclass(frozen=True)
class BillRead:
    """What a month's bill came to. ``unblended_usd`` is the sum over every row."""

    row_count: int
    file_count: int
    unblended_usd: Decimal


@dataclass
class _FileRead:
    """What has been read of one file so far."""

    row_count: int = 0
    unblended_usd: Decimal = Decimal(0)
    money_usd: Decimal = Decimal(0)
    rounded_values: int = 0
    rounding_moved_usd: Decimal = Decimal(0)

    def add(self, lines: Lines) -> None:
        """Add a table of lines to the sums."""
        self.row_count += lines.table.num_rows
        self.unblended_usd += _sum(lines.table["line_item_unblended_cost"])
        for name in BILL_MONEY_COLUMNS:
            self.money_usd += _sum(lines.table[name])
        self.rounded_values += lines.rounded
        self.rounding_moved_usd = EXACT.add(self.rounding_moved_usd, lines.moved)


def read_bill(
    deliveries: Sequence[Delivery],
    month: Month,
    lake: Lake,
    progress: Callable[[str], None] = lambda _: None,
) -> BillRead:
    """Read the month's deliveries into ``raw/bill_lines`` and ``raw/bill_files``.

    Every row is kept, in the order of deliveries, files and rows; a file of the lake holds
    one file of the bill. Both tables are replaced, or, if anything is wrong, neither.

    Args:
        deliveries: What AWS delivered, one an export.
        month: The billing month of all of them.
        lake: Where the tables lie.
        progress: Told each file that is read.

    Raises:
        PodledgerError: A file is damaged, lacks a column, or holds a cell that breaks a
            rule; two exports hold the same account; or the bill is empty.
    """
    rules = BillRules(month)
    records: list[dict[str, object]] = []
    with (
        lake.replace("raw/bill_files", month) as files_folder,
        lake.replace("raw/bill_lines", month) as lines_folder,
    ):
        for number, delivery in enumerate(deliveries):
            export = (
                f"{delivery.export} ({delivery.manifest or delivery.files[0].name})"
                f" of {delivery.root}"
            )
            for file in delivery.files:
                progress(f"{delivery.root}: reading {file.name}")
                target = lines_folder / f"{len(records) + 1:05d}.parquet"
                read = _read_file(
                    delivery, file, partial(rules.add, number=number, export=export), target
                )
                records.append(_record(delivery, file, read))
        rules.finish()
        table = pa.Table.from_pylist(records, BILL_FILES)
        pq.write_table(table, files_folder / "files.parquet", store_schema=False)
    return BillRead(
        row_count=pc.sum(table["row_count"]).as_py(),
        file_count=len(records),
        unblended_usd=pc.sum(table["unblended_usd"]).as_py(),
    )


def _read_file(
    delivery: Delivery,
    file: DeliveryFile,
    take_note: Callable[[pa.Table], None],
    target: Path,
) -> _FileRead:
    """Bring one file of the bill into one file of the lake, table by table.

    Args:
        delivery: The file's delivery.
        file: What to read.
        take_note: Given each table of lines in normal form.
        target: The file to make; none is made where there are no lines.

    Raises:
        PodledgerError: What is wrong, with root, file, row and column.
    """
    read = _FileRead()
    columns = None
    try:
        _check_size(file)
        source = open_source(file.path)
        if source.is_empty:
            return read
        columns = match_columns(source.names)
        with pq.ParquetWriter(
            target, _WRITTEN, store_schema=False, compression="zstd"
        ) as writer:
            for table in source.tables(columns.wanted):
                lines = normal_form(table, columns)
                check_lines(lines.table, delivery.month)
                take_note(lines.table)
                writer.write_table(_with_origin(lines.table, delivery, file))
                read.add(lines)
    except DamagedFileError as error:
        raise _refusal(delivery, file, error.problem, error.row) from error
    except BadColumnsError as error:
        raise _refusal(delivery, file, str(error)) from error
    except BadCellError as error:
        written = columns.written(error.column) if columns and error.column else None
        row = None if error.row is None else read.row_count + error.row + 1
        raise _refusal(delivery, file, error.problem, row, written) from error
    if not read.row_count:
        target.unlink()
    return read


def _check_size(file: DeliveryFile) -> None:
    """A file is read as it was found, or not at all.

    Raises:
        DamagedFileError: It is gone, or of another size than when it was found.
    """
    if not file.path.is_file():
        raise DamagedFileError(f"is not there any more ({file.path})")
    size = file.path.stat().st_size
    if size != file.size:
        raise DamagedFileError(
            f"has {size:,} bytes, and had {file.size:,} when it was found"
        )


def _with_origin(lines: pa.Table, delivery: Delivery, file: DeliveryFile) -> pa.Table:
    """Add the columns that say where each line was read."""
    indices = pa.array(np.zeros(lines.num_rows, np.int32))
    for name, text in zip(
        OURS, (delivery.export, delivery.delivery_id, file.name), strict=True
    ):
        codes = pa.DictionaryArray.from_arrays(indices, pa.array([text], STRING))
        lines = lines.append_column(name, codes)
    return lines.select(_WRITTEN.names)


def _record(delivery: Delivery, file: DeliveryFile, read: _FileRead) -> dict[str, object]:
    """One row of ``raw/bill_files``."""
    moved = read.rounding_moved_usd.quantize(Decimal(1).scaleb(-_MOVED_DIGITS))
    return (
        {
            "root": delivery.root,
            "bill_export": delivery.export,
            "layout": delivery.layout,
            "delivery_id": delivery.delivery_id,
            "source_file": file.name,
            "size_bytes": file.size,
            "sha256": file_sha256(file.path),
        }
        | dataclasses.asdict(read)
        | {"rounding_moved_usd": moved}
    )


def _refusal(
    delivery: Delivery,
    file: DeliveryFile,
    problem: str,
    row: int | None = None,
    column: str | None = None,
) -> PodledgerError:
    """Say where the bill is wrong. Rows count from 1, a header not counted."""
    where = f"row {row:,}, " if row is not None else ""
    where += f"column {column}" if column else ""
    place = f", {where.removesuffix(', ')}:" if where else ""
    return PodledgerError(
        f"The bill's file {file.name} of {delivery.root}{place} {problem}. Copy the file"
        " again from S3, or have AWS deliver the export again; until then, the lake keeps"
        f" what it had for {delivery.month}."
    )


def _sum(amounts: pa.ChunkedArray) -> Decimal:
    total: Decimal | None = pc.sum(amounts).as_py()
    return total or Decimal(0)
