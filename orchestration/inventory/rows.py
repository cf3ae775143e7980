"""Rows of one file in the contract's form, each value checked.

Holds the step from a batch as a reader gives it to the columns that are spooled and folded,
and the message that says where a bad value stands. The casts themselves know of no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestration.inventory.casts import (
    as_quantities,
    as_seconds,
    as_whole_hours,
    refuse_nulls,
)
from orchestration.inventory.contract import CONTRACTS, MAPS, Column, Content
from orchestration.inventory.fold import FILE, ROW
from orchestration.inventory.maps import as_maps
from orchestration.inventory.sources.interface import SourceFile
from orchestration.lake.cells import BadCellError, as_moments, as_text
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.schemas import HOUR


def rows_in_month(
    batch: pa.RecordBatch,
    numbers: NDArray[np.int64],
    file: SourceFile,
    position: int,
    month: Month,
) -> pa.RecordBatch:
    """Check and cast a batch's rows of a month; rows of other months are left out.

    Args:
        batch: Columns as a reader gives them.
        numbers: The number of each row in its file, from 1; shape (rows,).
        file: The file.
        position: The file's place among those read.
        month: The month that is wanted.

    Returns:
        Columns of the contract, text coded, and the two of origin.

    Raises:
        PodledgerError: A value is not what the contract allows; names file, row, column
            and value. Of rows of other months only the hour is looked at.
    """
    contract = CONTRACTS[file.kind]
    with _told_where(file, "usage_hour", numbers):
        hours = as_moments(batch["usage_hour"])
        refuse_nulls(hours)
    start, end = (
        pa.scalar(moment.replace(tzinfo=None), HOUR) for moment in (month.start, month.end)
    )
    is_in_month = pc.and_(pc.greater_equal(hours, start), pc.less(hours, end))
    batch = batch.filter(is_in_month)
    numbers = numbers[np.asarray(is_in_month)]
    columns = []
    for column in contract.columns:
        with _told_where(file, column.name, numbers):
            columns.append(_cast(batch, column))
    columns += [pa.array(np.full(len(batch), position, np.int32)), pa.array(numbers)]
    return pa.RecordBatch.from_arrays(
        columns, names=[*(column.name for column in contract.columns), FILE, ROW]
    )


def _cast(batch: pa.RecordBatch, column: Column) -> pa.Array:
    """One column in the contract's form; one that the file does not have is null."""
    if column.name in batch.schema.names:
        values = batch[column.name]
    else:
        values = pa.nulls(len(batch))
    if column.content in MAPS:
        return as_maps(values, column.content)
    values = _CASTS[column.content](values)
    if not column.is_nullable:
        refuse_nulls(values)
    return values


_CASTS: dict[Content, Callable[[pa.Array], pa.Array]] = {
    Content.TEXT: as_text,
    Content.HOUR: as_whole_hours,
    Content.SECONDS: as_seconds,
    Content.QUANTITY: as_quantities,
}


@contextmanager
def _told_where(
    file: SourceFile, column: str, numbers: NDArray[np.int64]
) -> Iterator[None]:
    """Say of a bad value where it stands; ``numbers`` are the rows of the cast array."""
    try:
        yield
    except BadCellError as error:
        row = "" if error.row is None else f", row {numbers[error.row]}"
        raise PodledgerError(
            f"{file}{row}, column {column}: {error.problem}. Correct the file, or the"
            " query that wrote it, and read the month again."
        ) from None
