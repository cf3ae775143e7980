"""Cells of a file, of a bill or of an inventory: text as codes, moments, what is wrong.

Holds the casts of whole columns that both rooms share, each with the first cell that fails
it. Which file, row and column a cell belongs to, as a user counts them, is known to the
caller.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from orchestration.lake.schemas import HOUR, STRING

CODED = pa.dictionary(pa.int32(), STRING)
"""Text as codes into a dictionary: how all text travels from reader to writer."""

_PRINTED_CHARACTERS = 120


class BadCellError(Exception):
    """A cell that a file may not hold.

    Attributes:
        row: Its position in the array, from 0; None if the whole column is wrong.
        column: The column; None where the caller knows it.
        problem: What is wrong, a phrase that holds the value.
    """

    def __init__(self, row: int | None, problem: str, column: str | None = None) -> None:
        super().__init__(problem)
        self.row = row
        self.column = column
        self.problem = problem


def printed(value: object) -> str:
    """A value as a message shows it."""
    text = repr(value)
    if len(text) <= _PRINTED_CHARACTERS:
        return text
    return f"{text[:_PRINTED_CHARACTERS]}..."


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


def coded(values: pa.Array) -> pa.DictionaryArray:
    """Encode text as codes into a dictionary; nulls stay null.

    Raises:
        BadCellError: The column is not text, or a cell's bytes are no UTF-8.
    """
    kind = values.type
    if pa.types.is_null(kind):
        return pa.nulls(len(values), CODED)
    if not is_text(kind):
        raise BadCellError(None, f"the column holds {kind}, not text")
    try:
        if not pa.types.is_dictionary(kind):
            values = values.cast(STRING).dictionary_encode()
        codes = values.cast(CODED)
        codes.dictionary.validate(full=True)
    except pa.ArrowInvalid as error:
        row, cell = _first_undecodable(values)
        raise BadCellError(row, f"{printed(cell)} is not valid UTF-8 text") from error
    return codes


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


def as_moments(values: pa.Array) -> pa.TimestampArray:
    """Moments in UTC, without a zone, from timestamps of any unit or ISO 8601 text.

    Raises:
        BadCellError: The column holds neither, or a text that is not a moment.
    """
    kind = values.type
    if pa.types.is_null(kind):
        return pa.nulls(len(values), HOUR)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        try:
            return values.cast(HOUR, safe=False)
        except pa.ArrowInvalid as error:
            raise BadCellError(None, f"the column holds no timestamps ({error})") from None
    if not is_text(kind):
        raise BadCellError(None, f"the column holds {kind}, not timestamps")
    codes = as_text(values)
    return parsed(codes, _utc, HOUR).take(codes.indices)


def parsed(
    codes: pa.DictionaryArray, parse: Callable[[str], object], meaning: pa.DataType
) -> pa.Array:
    """Parse each distinct text once; those that no row holds may be anything.

    Args:
        codes: Coded text.
        parse: From one text to its meaning; ValueError says what is wrong with it.
        meaning: Arrow type of the meanings.

    Returns:
        The meanings of the dictionary's entries, in its order.

    Raises:
        BadCellError: ``parse`` refused a text that a row holds.
    """
    meanings: list[object] = []
    for code, text in enumerate(codes.dictionary.to_pylist()):
        try:
            meanings.append(None if text is None else parse(text))
        except ValueError as error:
            if (row := first_row(codes, code)) is not None:
                raise BadCellError(row, f"{printed(text)} {error}") from None
            meanings.append(None)
    return pa.array(meanings, meaning)


def first_row(codes: pa.DictionaryArray, code: int) -> int | None:
    """The first row that holds a code."""
    row: int = pc.index(codes.indices, pa.scalar(code, pa.int32())).as_py()
    return row if row >= 0 else None


def _first_undecodable(values: pa.Array) -> tuple[int | None, bytes | None]:
    """The first cell of a column of text that is not valid UTF-8."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    for row, cell in enumerate(values.cast(pa.large_binary()).to_pylist()):
        try:
            (cell or b"").decode()
        except UnicodeDecodeError:
            return row, cell
    return None, None


def _utc(text: str) -> dt.datetime:
    """Parse ISO 8601, with ``T`` or a blank, with or without a zone."""
    try:
        moment = dt.datetime.fromisoformat(text.strip().removesuffix(" UTC"))
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise ValueError("is not a timestamp like 2026-10-01T00:00:00Z") from None
    return moment
