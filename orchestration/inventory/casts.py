"""From what a file holds to what the contract says: hours, seconds, quantities.

Holds the casts of columns, vectorised, each with the first value that fails it. Text and
moments are in ``lake/cells.py``, and maps have a module of their own; which file and row a
value came from is known to the caller.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestration.lake.cells import (
    BadCellError,
    as_moments,
    as_text,
    is_text,
    parsed,
    printed,
)

SECONDS_AN_HOUR = 3600
MICROSECONDS_AN_HOUR = SECONDS_AN_HOUR * 1_000_000


def recoded(codes: pa.DictionaryArray, meanings: pa.Array) -> pa.DictionaryArray:
    """Give each code a new meaning; codes that come to mean the same become one.

    Args:
        codes: Coded values, nulls allowed.
        meanings: Text for each entry of the dictionary, in its order; null makes null.
    """
    distinct = meanings.dictionary_encode()
    return pa.DictionaryArray.from_arrays(
        distinct.indices.take(codes.indices), distinct.dictionary
    )


def as_whole_hours(values: pa.Array) -> pa.TimestampArray:
    """Starts of hours in UTC, without a zone."""
    hours = as_moments(values)
    microseconds = np.asarray(pc.fill_null(hours.cast(pa.int64()), 0))
    refuse(
        microseconds % MICROSECONDS_AN_HOUR != 0,
        lambda row: f"{printed(str(values[row]))} is not the start of an hour",
    )
    return hours


def as_seconds(values: pa.Array) -> pa.Int32Array:
    """Whole seconds within the hour."""
    numbers = _as_numbers(values)
    floats = _floats(numbers)
    with np.errstate(invalid="ignore"):
        is_bad = ~(
            (floats >= 0) & (floats <= SECONDS_AN_HOUR) & (floats == np.floor(floats))
        )
    refuse(
        is_bad & _is_valid(numbers),
        lambda row: f"{printed(values[row].as_py())} is not a whole number from 0 to 3600",
    )
    return pc.cast(numbers, pa.int32())


NO_QUANTITY = "is not a valid quantity (must be a finite number of 0 or more)"
"""What is said of a request or use that is none."""


def as_quantities(values: pa.Array) -> pa.DoubleArray:
    """Finite numbers that are not negative."""
    numbers = _as_numbers(values)
    floats = _floats(numbers)
    refuse(
        ~(np.isfinite(floats) & (floats >= 0)) & _is_valid(numbers),
        lambda row: f"{printed(values[row].as_py())} {NO_QUANTITY}",
    )
    # A negative zero would be another value than 0 to whoever compares bits.
    return pc.add(numbers, 0.0)


def refuse_nulls(values: pa.Array) -> None:
    """Raise ``BadCellError`` for the first value that is missing, if one is."""
    refuse(~_is_valid(values), lambda _: "the value is missing")


def refuse(is_bad: NDArray[np.bool_], problem: Callable[[int], str]) -> None:
    """Raise ``BadCellError`` for the first bad row, if there is one."""
    if is_bad.any():
        row = int(is_bad.argmax())
        raise BadCellError(row, problem(row))


def _as_numbers(values: pa.Array) -> pa.DoubleArray:
    """Numbers of any type, or text that spells them, as doubles."""
    kind = values.type
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.float64())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.float64(), safe=False)
    if not is_text(kind):
        raise BadCellError(None, f"the column holds {kind}, not numbers")
    codes = as_text(values)
    trimmed = pc.utf8_trim_whitespace(codes.dictionary)
    try:
        meanings = trimmed.cast(pa.float64())
    except pa.ArrowInvalid:
        meanings = parsed(codes, _number, pa.float64())
    return meanings.take(codes.indices)


def _number(text: str) -> float:
    """One number by the rules of the vectorised cast, which names no row when it fails."""
    try:
        return float(pa.scalar(text.strip()).cast(pa.float64()).as_py())
    except pa.ArrowInvalid:
        raise ValueError("is not a number") from None


def _floats(numbers: pa.DoubleArray) -> NDArray[np.float64]:
    return np.asarray(pc.fill_null(numbers, 0.0))


def _is_valid(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(values.is_valid())
