"""One file of the bill, made one file of the lake.

Holds the way of a line from file to file, and how an error says where it stands. What
cells and columns mean is in ``lake/cells.py``, ``maps.py`` and ``columns.py``; which files
make a month, and what they must be together, is for ``lines.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.bill.columns import OURS, BadColumnsError, match_columns
from orchestration.bill.exports import Delivery, DeliveryFile
from orchestration.bill.landing import file_sha256
from orchestration.bill.normal import Lines, normal_form
from orchestration.bill.remedies import Need, remedy
from orchestration.bill.rules import BadLineError, Traits, check_lines
from orchestration.bill.sources import DamagedFileError, open_source
from orchestration.lake.amounts import EXACT
from orchestration.lake.cells import CODED, BadCellError
from orchestration.lake.errors import PodledgerError
from orchestration.lake.schemas import BILL_LINES, BILL_MONEY_COLUMNS, STRING

_WRITTEN = pa.schema(
    [
        pa.field(column.name, CODED if column.type == STRING else column.type)
        for column in BILL_LINES
    ]
)
"""``BILL_LINES`` as it is handed to the writer: the same in Parquet, with text as codes."""


@dataclass(frozen=True)
class FileTask:
    """What is to be read, and where to.

    Attributes:
        delivery: The file's delivery.
        file: What to read.
        target: The file to make; none is made where there are no lines.
    """

    delivery: Delivery
    file: DeliveryFile
    target: Path


@dataclass
class FileRead:
    """What has been read of one file so far; its SHA-256 once all of it has been.

    ``absent_columns`` are those that a cost basis may need and the file does not have.
    """

    row_count: int = 0
    unblended_usd: Decimal = Decimal(0)
    money_usd: Decimal = Decimal(0)
    rounded_values: int = 0
    rounding_moved_usd: Decimal = Decimal(0)
    traits: Traits = field(default_factory=Traits)
    absent_columns: tuple[str, ...] = ()
    sha256: str = ""

    def add(self, lines: Lines) -> None:
        """Add a table of lines to the sums."""
        self.row_count += lines.table.num_rows
        self.unblended_usd += _sum(lines.table["line_item_unblended_cost"])
        for name in BILL_MONEY_COLUMNS:
            self.money_usd += _sum(lines.table[name])
        self.rounded_values += lines.rounded
        self.rounding_moved_usd = EXACT.add(self.rounding_moved_usd, lines.moved)
        self.traits.add(lines.table)


def read_file(task: FileTask) -> FileRead:
    """Bring one file of the bill into one file of the lake, table by table.

    Raises:
        PodledgerError: What is wrong, with root, file, row and column.
    """
    read = FileRead()
    delivery, file = task.delivery, task.file
    columns = None
    try:
        _check_size(file)
        read.sha256 = file_sha256(file.path)
        source = open_source(file.path)
        if source.is_empty:
            return read
        columns = match_columns(source.names)
        read.absent_columns = columns.absent
        with pq.ParquetWriter(
            task.target, _WRITTEN, store_schema=False, compression="zstd"
        ) as writer:
            for table in source.tables(columns.wanted):
                lines = normal_form(table, columns)
                check_lines(lines.table, delivery.month)
                writer.write_table(_with_origin(lines.table, delivery, file))
                read.add(lines)
    except DamagedFileError as error:
        raise _refusal(delivery, file, error.problem, error.row) from error
    except BadColumnsError as error:
        raise _refusal(delivery, file, str(error), need=error.need) from error
    except BadCellError as error:
        written = columns.written(error.column) if columns and error.column else None
        row = None if error.row is None else read.row_count + error.row + 1
        need = error.need if isinstance(error, BadLineError) else "copy"
        raise _refusal(delivery, file, error.problem, row, written, need) from error
    if not read.row_count:
        task.target.unlink()
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


def _refusal(
    delivery: Delivery,
    file: DeliveryFile,
    problem: str,
    row: int | None = None,
    column: str | None = None,
    need: Need = "copy",
) -> PodledgerError:
    """Say where the bill is wrong, and what mends it. Rows count from 1, without header."""
    where = f"row {row:,}, " if row is not None else ""
    where += f"column {column}" if column else ""
    place = f", {where.removesuffix(', ')}:" if where else ""
    return PodledgerError(
        f"The bill's file {file.name} of {delivery.root}{place} {problem}. Until it is"
        f" mended, the lake keeps what it had for {delivery.month}."
        f" {remedy(need, delivery.layout)}"
    )


def _sum(amounts: pa.ChunkedArray) -> Decimal:
    total: Decimal | None = pc.sum(amounts).as_py()
    return total or Decimal(0)
