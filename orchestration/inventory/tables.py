"""Coded text and Parquet in one canonical form, so that equal rows are equal bytes.

Holds what makes a written file depend on its rows alone: dictionaries sorted and without
leftovers, row groups of a fixed size, and settings that no default can change.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

_STATISTICS = ["usage_hour", "instance_id"]
"""Columns that readers prune by; statistics of the others cost more than they save."""

_FEW_VALUES = frozenset(
    {
        "usage_hour",
        "bound_seconds",
        "vcpu_requested",
        "memory_requested_gib",
        "vcpu_hard",
        "memory_hard_gib",
        "devices_hard",
    }
)
"""Columns besides text whose values repeat enough for a dictionary."""

_ROW_GROUP_ROWS = 1 << 20
"""What the split reads at a time; a day of 40,000 pods."""

_DICTIONARY_BYTES = 64 << 20
"""A day's uids overflow the default of 1 MiB at some 20,000 pods, and files double."""


def codes_of(values: pa.DictionaryArray) -> NDArray[np.int32]:
    """The codes of coded text; -1 for null."""
    return np.asarray(pc.fill_null(values.indices, -1))


def sorted_codes(values: pa.DictionaryArray) -> pa.DictionaryArray:
    """The same text with the dictionary sorted by bytes, and only what occurs in it.

    Args:
        values: Coded text whose dictionary repeats no entry.
    """
    codes = codes_of(values)
    occurs = np.bincount(codes + 1, minlength=len(values.dictionary) + 1)[1:] > 0
    used = np.flatnonzero(occurs)
    dictionary = values.dictionary.take(pa.array(used))
    order = np.asarray(pc.sort_indices(dictionary))
    new_codes = np.full(len(occurs) + 1, -1, np.int32)
    new_codes[used[order]] = np.arange(used.size, dtype=np.int32)
    indices = new_codes[codes]
    return pa.DictionaryArray.from_arrays(
        pa.array(indices, mask=indices < 0), dictionary.take(pa.array(order))
    )


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table of the lake as Parquet: the same bytes for the same rows."""
    coded = [
        field.name
        for field in table.schema
        if pa.types.is_dictionary(field.type) or field.name in _FEW_VALUES
    ]
    with pq.ParquetWriter(
        path,
        table.schema,
        version="2.6",
        compression="zstd",
        compression_level=1,
        use_dictionary=coded,
        dictionary_pagesize_limit=_DICTIONARY_BYTES,
        write_statistics=[n for n in _STATISTICS if n in table.column_names],
        store_schema=False,
    ) as writer:
        for rows in _row_groups(table):
            writer.write_table(rows, row_group_size=_ROW_GROUP_ROWS)


def _row_groups(table: pa.Table) -> Iterator[pa.Table]:
    """The rows of each row group, with the text that occurs in them and no other.

    A dictionary is written whole with every row group, and read so: at 10,000 nodes, a
    quarter of the file was text that other row groups use.
    """
    if len(table) <= _ROW_GROUP_ROWS:
        yield table
        return
    for start in range(0, len(table), _ROW_GROUP_ROWS):
        rows = table.slice(start, _ROW_GROUP_ROWS)
        for position, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type):
                text = sorted_codes(rows.column(position).combine_chunks())
                rows = rows.set_column(position, field, text)
        yield rows
