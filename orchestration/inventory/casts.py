"""From what a file holds to what the contract says: text, hours, seconds, quantities.

Holds the casts of columns, vectorised, each with the first value that fails it. Maps have a
module of their own; which file and row a value came from is known to the caller.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestration.schemas import HOUR, STRING

CODED = pa.dictionary(pa.int32(), STRING)
"""Text as codes into a dictionary: how all text travels from reader to writer."""

SECONDS_AN_HOUR = 3600
MICROSECONDS_AN_HOUR = SECONDS_AN_HOUR * 1_000_000

_PRINTED_CHARACTERS = 120


class BadValueError(Exception):
    """A value that the contract does not allow.

    Attributes:
        row: Its position in the array, from 0; None if the whole column is wrong.
        problem: What is wrong with it, a phrase that holds the value.
    """

    def __init__(self, row: int | None, problem: str) -> None:
        super().__init__(problem)
        self.row = row
        self.problem = problem


def printed(value: object) -> str:
    """A value as a message shows it."""
    text = repr(value)
    if len(text) <= _PRINTED_CHARACTERS:
        return text
    return f"{text[:_PRINTED_CHARACTERS]}..."


def coded(values: pa.Array) -> pa.DictionaryArray:
    """Encode text as codes into a dictionary; nulls stay null.

    Raises:
        BadValueError: The column is no text, or bytes that are no UTF-8.
    """
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), CODED)
    if not is_text(values.type):
        raise BadValueError(None, f"the column holds {values.type}, not text")
    try:
        if not pa.types.is_dictionary(values.type):
            values = values.cast(STRING).dictionary_encode()
        values = values.cast(CODED)
        values.dictionary.validate(full=True)
    except pa.ArrowInvalid as error:
        raise BadValueError(
            None, f"the column holds text that is no UTF-8 ({error})"
        ) from None
    return values


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


def as_text(values: pa.Array) -> pa.DictionaryArray:
    """Text, coded; an empty text is null."""
    codes = coded(values)
    empty = pc.index(codes.dictionary, "").as_py()
    if empty < 0:
        return codes
    indices = pc.if_else(
        pc.equal(codes.indices, empty), pa.scalar(None, pa.int32()), codes.indices
    )
    return pa.DictionaryArray.from_arrays(indices, codes.dictionary)


def as_hours(values: pa.Array) -> pa.TimestampArray:
    """Timestamps in UTC, without a zone; whether they are whole hours is not checked."""
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        return values.cast(HOUR, safe=False)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), HOUR)
    if not is_text(values.type):
        raise BadValueError(None, f"the column holds {values.type}, not timestamps")
    codes = as_text(values)
    meanings = parsed(codes, _utc, HOUR)
    return meanings.take(codes.indices)


def as_whole_hours(values: pa.Array) -> pa.TimestampArray:
    """Starts of hours in UTC, without a zone."""
    hours = as_hours(values)
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
        lambda row: f"{printed(values[row].as_py())} is no whole number from 0 to 3600",
    )
    return pc.cast(numbers, pa.int32())


def as_quantities(values: pa.Array) -> pa.DoubleArray:
    """Finite numbers that are not negative."""
    numbers = _as_numbers(values)
    floats = _floats(numbers)
    refuse(
        ~(np.isfinite(floats) & (floats >= 0)) & _is_valid(numbers),
        lambda row: f"{printed(values[row].as_py())} is no quantity: finite, 0 or more",
    )
    # A negative zero would be another value than 0 to whoever compares bits.
    return pc.add(numbers, 0.0)


def refuse_nulls(values: pa.Array) -> None:
    """Raise ``BadValueError`` for the first value that is missing, if one is."""
    refuse(~_is_valid(values), lambda _: "the value is missing")


def refuse(is_bad: NDArray[np.bool_], problem: Callable[[int], str]) -> None:
    """Raise ``BadValueError`` for the first bad row, if there is one."""
    if is_bad.any():
        row = int(is_bad.argmax())
        raise BadValueError(row, problem(row))


def parsed(
    codes: pa.DictionaryArray, parse: Callable[[str], object], meaning: pa.DataType
) -> pa.Array:
    """Parse each distinct text once.

    Args:
        codes: Coded text.
        parse: From one text to its meaning; ValueError says what is wrong with it.
        meaning: Arrow type of the meanings.

    Returns:
        The meanings of the dictionary's entries, in its order.

    Raises:
        BadValueError: ``parse`` refused a text that occurs.
    """
    meanings: list[object] = []
    for code, text in enumerate(codes.dictionary.to_pylist()):
        try:
            meanings.append(parse(text))
        except ValueError as error:
            row = pc.index(codes.indices, pa.scalar(code, pa.int32())).as_py()
            if row >= 0:
                raise BadValueError(row, f"{printed(text)} {error}") from None
            meanings.append(None)
    return pa.array(meanings, meaning)


def _utc(text: str) -> dt.datetime:
    """Parse ISO 8601, with ``T`` or a blank, with or without a zone."""
    try:
        moment = dt.datetime.fromisoformat(text.strip().removesuffix(" UTC"))
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise ValueError("is no timestamp like 2026-10-01T00:00:00Z") from None
    return moment


def _as_numbers(values: pa.Array) -> pa.DoubleArray:
    """Numbers of any type, or text that spells them, as doubles."""
    kind = values.type
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.float64())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.float64(), safe=False)
    if not is_text(kind):
        raise BadValueError(None, f"the column holds {kind}, not numbers")
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
        raise ValueError("is no number") from None


def _floats(numbers: pa.DoubleArray) -> NDArray[np.float64]:
    return np.asarray(pc.fill_null(numbers, 0.0))


def _is_valid(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(values.is_valid())


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this type are text, or bytes that may be."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
        )
    )
