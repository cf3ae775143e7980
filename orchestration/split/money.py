"""Money at pod grain: 64-bit integers of 1e-10 USD and decimals, the same bytes.

Holds the step between what the kernel counts and what a column says, both ways.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.schemas import POD_MONEY


def money(units: NDArray[np.int64]) -> pa.Array:
    """Units as decimals: the same memory under another name, not copied if contiguous."""
    return pa.Array.from_buffers(
        POD_MONEY, len(units), [None, pa.py_buffer(np.ascontiguousarray(units))]
    )


def units(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Decimals without nulls as units.

    Raises:
        pyarrow.ArrowInvalid: A value has more digits than ``schemas.POD_MONEY``.
    """
    decimals = column.cast(POD_MONEY).combine_chunks()
    if len(decimals) == 0:
        return np.empty(0, np.int64)
    counted = np.frombuffer(decimals.buffers()[1], np.int64)
    return counted[decimals.offset : decimals.offset + len(decimals)]
