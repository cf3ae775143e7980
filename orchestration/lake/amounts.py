"""Numbers of a bill: exact amounts with what rounding moved, and ratios.

Holds the casts of whole columns, whatever type a file gives them, each with the first cell
that fails it. Text and moments are in ``cells.py``, maps in ``bill/maps.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestration.lake.cells import (
    BadCellError,
    as_text,
    first_row,
    is_text,
    parsed,
    printed,
)
from orchestration.lake.schemas import STRING

_WIDE = pa.decimal256(75, 45)
"""Room for what is read before it is rounded: 45 decimals, 30 digits before the point."""

EXACT = Context(prec=200, rounding=ROUND_HALF_UP)
"""Arithmetic of decimals in which no sum of a bill is ever rounded."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Amounts:
    """A column of exact decimals, and what rounding to their scale did.

    ``rounded`` counts the values that it changed, ``moved`` is the sum of (read - kept).
    """

    values: pa.Decimal128Array
    rounded: int
    moved: Decimal


def as_ratios(values: pa.Array) -> pa.DoubleArray:
    """Finite doubles, from numbers of any type or text that spells them.

    Raises:
        BadCellError: The column holds no numbers, or one that is not finite.
    """
    kind = values.type
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.float64())
    if is_text(kind):
        codes = as_text(values)
        numbers = parsed(codes, _ratio, pa.float64()).take(codes.indices)
    elif _is_number(kind):
        numbers = values.cast(pa.float64(), safe=False)
    else:
        raise BadCellError(None, f"the column holds {kind}, not numbers")
    is_bad = pc.invert(pc.is_finite(numbers)).fill_null(False)
    if (row := pc.index(is_bad, True).as_py()) >= 0:
        raise BadCellError(row, f"{printed(values[row].as_py())} is not a number")
    return numbers


def as_amounts(values: pa.Array, scale: int) -> Amounts:
    """Exact decimals of ``scale`` digits, rounded half away from zero.

    A double is what its shortest decimal text says, so that a bill in Parquet equals the
    same bill in CSV.

    Raises:
        BadCellError: The column holds no numbers, or a cell that is none: NaN, infinite,
            above 38 digits, or a text that does not parse.
    """
    kind = values.type
    if pa.types.is_null(kind):
        return Amounts(pa.nulls(len(values), pa.decimal128(38, scale)), 0, Decimal(0))
    if pa.types.is_float64(kind):
        return _from_doubles(values, scale)
    if pa.types.is_integer(kind):
        return Amounts(values.cast(pa.decimal128(38, scale)), 0, Decimal(0))
    if _is_number(kind):
        values = values.cast(STRING)
    elif not is_text(kind):
        raise BadCellError(None, f"the column holds {kind}, not numbers")
    codes = as_text(values)
    texts = pc.ascii_trim_whitespace(codes.dictionary)
    # An empty text in the dictionary would send all others the slow way.
    texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, STRING), texts)
    meanings = _from_texts(texts, scale)
    meanings.refuse_bad(lambda code: first_row(codes, code))
    moved = None if meanings.moved is None else meanings.moved.take(codes.indices)
    return Amounts(meanings.kept.take(codes.indices), *_rounding(moved))


@dataclass(frozen=True)
class _Meanings:
    """What texts mean as amounts: what is kept of each, and what rounding took off.

    ``moved`` is None where nothing was rounded. ``bad`` says what is wrong, by position.
    """

    kept: pa.Decimal128Array
    moved: pa.Array | None
    bad: dict[int, str]

    def refuse_bad(self, row_of: Callable[[int], int | None]) -> None:
        """Raise for the first bad text that a row holds."""
        rows = {
            row: problem
            for position, problem in self.bad.items()
            if (row := row_of(position)) is not None
        }
        if rows:
            raise BadCellError(min(rows), rows[min(rows)])


def _rounding(moved: pa.Array | None) -> tuple[int, Decimal]:
    """How many values were rounded, and by how much altogether."""
    if moved is None:
        return 0, Decimal(0)
    count: int = pc.sum(pc.not_equal(moved, 0)).as_py() or 0
    return count, pc.sum(moved).as_py() or Decimal(0)


def _from_doubles(values: pa.DoubleArray, scale: int) -> Amounts:
    """Amounts of at most ten decimals by arithmetic, the others by their text.

    Below 1e15 units of 1e-10, a decimal has at most 15 digits, and no two such decimals
    share a double: if units / 1e10, which IEEE 754 rounds correctly, gives the double, its
    shortest text is that decimal.
    """
    floats = np.asarray(values.fill_null(0.0))
    with np.errstate(all="ignore"):
        units = np.rint(floats * 1e10)
        is_exact = (np.abs(units) < 1e15) & (units / 1e10 == floats)
    others = np.flatnonzero(~is_exact)
    low = np.where(is_exact, units, 0).astype(np.int64)
    words = np.stack((low, low >> 63), axis=1)
    kept = _decimals(words, 10).cast(pa.decimal128(38, scale))
    rounded, moved = 0, Decimal(0)
    if others.size:
        meanings = _from_texts(pa.array(floats[others]).cast(STRING), scale)
        meanings.refuse_bad(lambda position: int(others[position]))
        rounded, moved = _rounding(meanings.moved)
        words = _words(kept).copy()
        words[others] = _words(meanings.kept)
        kept = _decimals(words, scale)
    if values.null_count:
        kept = pc.if_else(values.is_valid(), kept, pa.scalar(None, kept.type))
    return Amounts(kept, rounded, moved)


def _decimals(words: NDArray[np.int64], scale: int) -> pa.Decimal128Array:
    """Decimals of two 64-bit words each, the low one first."""
    return pa.Array.from_buffers(
        pa.decimal128(38, scale),
        len(words),
        [None, pa.py_buffer(np.ascontiguousarray(words))],
    )


def _words(decimals: pa.Decimal128Array) -> NDArray[np.int64]:
    words = np.frombuffer(decimals.buffers()[1], np.int64).reshape(-1, 2)
    return words[decimals.offset : decimals.offset + len(decimals)]


def _from_texts(texts: pa.StringArray, scale: int) -> _Meanings:
    """Parse texts: at once where all fit, else by way of more digits, else one by one."""
    kind = pa.decimal128(38, scale)
    try:
        return _Meanings(texts.cast(kind), None, {})
    except pa.ArrowInvalid:
        pass
    try:
        wide = texts.cast(_WIDE)
        kept = pc.round(wide, scale, "half_towards_infinity")
        return _Meanings(kept.cast(kind), pc.subtract(wide, kept), {})
    except pa.ArrowInvalid:
        return _one_by_one(texts.to_pylist(), scale)


def _one_by_one(texts: list[str | None], scale: int) -> _Meanings:
    kept: list[Decimal | None] = []
    moved: list[Decimal | None] = []
    bad: dict[int, str] = {}
    for position, text in enumerate(texts):
        amount = rest = None
        if text is not None:
            try:
                exact = _exact(text)
                amount = EXACT.quantize(exact, Decimal(1).scaleb(-scale))
                rest = EXACT.quantize(EXACT.subtract(exact, amount), Decimal("1e-45"))
            except ValueError as error:
                bad[position] = f"{printed(text)} {error}"
            else:
                if amount.adjusted() + scale >= 38:
                    bad[position] = f"{printed(text)} is above 38 digits"
                    amount = rest = None
        kept.append(amount)
        moved.append(rest)
    return _Meanings(pa.array(kept, pa.decimal128(38, scale)), pa.array(moved, _WIDE), bad)


def _exact(text: str) -> Decimal:
    """The decimal that a text spells.

    Raises:
        ValueError: It spells none, or one that no bill can mean.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError("is not an amount")
    try:
        exact = Decimal(text)
    except ArithmeticError:
        raise ValueError("is not an amount") from None
    if exact and exact.adjusted() >= 38:
        raise ValueError("is above 38 digits")
    return exact if exact.adjusted() > -100 else Decimal(0)


def _ratio(text: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError("is not a number")
    return float(text)


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )
