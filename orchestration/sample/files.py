"""Gzipped text files whose bytes follow from their content alone.

Holds the one way that the sample's CSV and NDJSON files are written: no name and no time
in the header, and a level that is quick rather than small.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

_LEVEL = 3
_GZIP_FORMAT = 31


def write_gzip(path: Path, content: bytes) -> None:
    """Write a gzip file."""
    path.write_bytes(zlib.compress(content, _LEVEL, wbits=_GZIP_FORMAT))


def write_csv_gzip(path: Path, table: pa.Table) -> None:
    """Write a gzipped CSV file with a header; only what must be quoted is."""
    content = pa.BufferOutputStream()
    pyarrow.csv.write_csv(
        table,
        content,
        pyarrow.csv.WriteOptions(quoting_style="needed", quoting_header="needed"),
    )
    write_gzip(path, content.getvalue())
