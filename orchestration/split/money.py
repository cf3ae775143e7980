"""Money at pod grain: 64-bit integers of 1e-10 USD and decimals, the same bytes.

Holds the step between what the kernel counts and what a column says, both ways.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestration.lake.schemas import POD_MONEY


def money(units: NDArray[np.int64], is_known: NDArray[np.bool_] | None = None) -> pa.Array:
    """Units as decimals: the same memory under another name, not copied if contiguous.

    Where ``is_known`` is false the amount is null.
    """
    validity = None
    if is_known is not None and not is_known.all():
        validity = pa.array(is_known).buffers()[1]
    return pa.Array.from_buffers(
        POD_MONEY, len(units), [validity, pa.py_buffer(np.ascontiguousarray(units))]
    )


def units(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Decimals as units, and nothing where a decimal is null.

    Raises:
        pyarrow.ArrowInvalid: A value has more digits than ``schemas.POD_MONEY``.
    """
    if column.null_count:
        column = pc.coalesce(column, pa.scalar(Decimal(0), column.type))
    decimals = column.cast(POD_MONEY).combine_chunks()
    if len(decimals) == 0:
        return np.empty(0, np.int64)
    counted = np.frombuffer(decimals.buffers()[1], np.int64)
    return counted[decimals.offset : decimals.offset + len(decimals)]
