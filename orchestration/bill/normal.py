"""Lines in normal form: a table as a file has it, made into columns of ``raw/bill_lines``.

Holds which cast each column takes. The casts are in ``lake/cells.py`` and
``maps.py``, what lines must be is in ``rules.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from orchestration.bill.columns import MAPS, OURS, Columns, normal_name
from orchestration.bill.maps import Maps, as_maps, columns_as_maps
from orchestration.lake.amounts import EXACT, Amounts, as_amounts, as_ratios
from orchestration.lake.cells import CODED, BadCellError, as_moments, as_text
from orchestration.lake.schemas import BILL_LINES, BILL_MONEY_COLUMNS, STRING

_ACCOUNT_DIGITS = 12
_ACCOUNTS = ("bill_payer_account_id", "line_item_usage_account_id")

_FROM_PRODUCT = {
    "product_instance_type": ("instance_type",),
    "product_product_family": ("product_family",),
    "product_region_code": ("region_code", "region"),
}
"""Columns that the map ``product`` fills where they have nothing, by its first such key."""

NORMAL = pa.schema(
    [
        pa.field(column.name, CODED if column.type == STRING else column.type)
        for column in BILL_LINES
        if column.name not in OURS
    ]
)
"""``BILL_LINES`` without the columns on a line's origin, with text as codes."""


@dataclass(frozen=True)
class Lines:
    """Lines in normal form, and what rounding did to their money.

    ``rounded`` counts the values that it changed, ``moved`` is the sum of (read - kept).
    """

    table: pa.Table
    rounded: int
    moved: Decimal


def normal_form(table: pa.Table, columns: Columns) -> Lines:
    """Cast every column; those that the file does not have are null, or empty maps.

    Args:
        table: Columns of a file, named by their place in it.
        columns: Which of them is what.

    Raises:
        BadCellError: A cell that cannot be cast, with its column in normal form.
    """
    maps = {name: _maps(table, columns, name) for name in MAPS}
    normal: dict[str, pa.Array] = {name: found.array() for name, found in maps.items()}
    rounded, moved = 0, Decimal(0)
    for column in NORMAL:
        if column.name in MAPS:
            continue
        place = columns.plain.get(column.name)
        if place is None:
            normal[column.name] = pa.nulls(table.num_rows, column.type)
            continue
        with _column_named(column.name):
            cells = _cast(column, _array(table, place))
        if column.name in BILL_MONEY_COLUMNS:
            rounded += cells.rounded
            moved = EXACT.add(moved, cells.moved)
        normal[column.name] = cells.values if isinstance(cells, Amounts) else cells
    for name, keys in _FROM_PRODUCT.items():
        normal[name] = _filled(normal[name], maps["product"], keys)
    return Lines(pa.table([normal[name] for name in NORMAL.names], NORMAL), rounded, moved)


def _cast(column: pa.Field, cells: pa.Array) -> pa.Array | Amounts:
    if pa.types.is_decimal(column.type):
        return as_amounts(cells, column.type.scale)
    if pa.types.is_timestamp(column.type):
        return as_moments(cells)
    if pa.types.is_floating(column.type):
        return as_ratios(cells)
    if pa.types.is_integer(cells.type):
        cells = cells.cast(STRING)
        if column.name in _ACCOUNTS:
            # As a number, an account id has lost its leading zeros.
            cells = pc.utf8_lpad(cells, _ACCOUNT_DIGITS, "0")
    return as_text(cells)


def _maps(table: pa.Table, columns: Columns, name: str) -> Maps:
    """Read a map from its column, or from the columns that each are one of its keys."""
    if name in columns.maps:
        with _column_named(name):
            return as_maps(_array(table, columns.maps[name]), normal_name)
    cells = []
    for key, place in columns.keys[name]:
        cells.append((key, columns.names[place], _array(table, place)))
    return columns_as_maps(cells, table.num_rows)


def _filled(
    values: pa.DictionaryArray, product: Maps, keys: tuple[str, ...]
) -> pa.DictionaryArray:
    """Fill what is null from the first key of the map that has a value."""
    for key in keys:
        if not values.null_count:
            break
        if key in product.names:
            values = pc.coalesce(
                values.cast(STRING), product.column(key)
            ).dictionary_encode()
    return values


def _array(table: pa.Table, place: int) -> pa.Array:
    chunks = table[str(place)]
    return chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()


@contextmanager
def _column_named(name: str) -> Iterator[None]:
    """Let an error about a cell say of which column."""
    try:
        yield
    except BadCellError as error:
        raise BadCellError(error.row, error.problem, name) from None
