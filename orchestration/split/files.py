"""Parquet as the split writes it: what costs least to write, and is read the same.

Holds the writer's settings. They were chosen by measurement (``docs/benchmarks.md``):
writing is more than half of the split's cost.
"""

from __future__ import annotations

import base64
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.lake.schemas import STRING

_ENCODED_STRING = pa.dictionary(pa.int32(), STRING)
_DICTIONARY_PAGE_BYTES = 64 * 1024 * 1024
_PRUNED_BY = ["usage_hour", "instance_id"]


class TableFile:
    """A Parquet file of one lake table, written a row group at a time.

    Strings go in as dictionaries and stay so to the disk; nothing else is tried as a
    dictionary, since money and hours seldom repeat. Statistics are kept on what readers
    prune by. The file declares the table's own schema, so that a reader sees strings.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Open the file.

        Args:
            path: The file, new.
            schema: As in ``lake/schemas.py``.
        """
        self._encoded = pa.schema(
            field.with_type(_ENCODED_STRING) if field.type == STRING else field
            for field in schema
        )
        self._writer = pq.ParquetWriter(
            path,
            self._encoded,
            compression="zstd",
            compression_level=1,
            use_dictionary=[field.name for field in schema if field.type == STRING],
            dictionary_pagesize_limit=_DICTIONARY_PAGE_BYTES,
            write_statistics=[name for name in _PRUNED_BY if name in schema.names],
            store_decimal_as_integer=True,
            store_schema=False,
        )
        self._writer.add_key_value_metadata(
            {"ARROW:schema": base64.b64encode(schema.serialize()).decode()}
        )

    def write(self, table: pa.Table) -> None:
        """Write a table as one row group; an empty one as none."""
        if len(table):
            self._writer.write_table(table.cast(self._encoded), row_group_size=len(table))

    def __enter__(self) -> TableFile:
        return self

    def __exit__(self, *_error: object) -> None:
        self._writer.close()
