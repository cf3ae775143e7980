"""The three file formats, read as batches of the contract's columns.

Holds how Parquet, CSV and NDJSON become Arrow batches of bounded size, in the order of the
file, values as they stand there. What a value may be is decided by the casts.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from orchestration.inventory.contract import Contract
from orchestration.inventory.sources.interface import SourceFile
from orchestration.lake.cells import is_text
from orchestration.lake.errors import PodledgerError

BATCH_ROWS = 131_072
"""Rows that are worked on at a time: with 50 labels a pod, some 1 GB while at work."""

_CSV_BLOCK_BYTES = 8 << 20


def read_batches(
    file: SourceFile,
    contract: Contract,
    scratch: Path,
    connection: duckdb.DuckDBPyConnection,
) -> Iterator[pa.RecordBatch]:
    """Read a file's rows, in order.

    Args:
        file: The file.
        contract: Which columns to read; others are left unread.
        scratch: Folder for what a format needs on disk while it is read.
        connection: To DuckDB, of no other use while the file is read: a month may have
            thousands of small files, and to connect takes longer than to read one.

    Yields:
        Batches of those columns of the contract that the file has, text and maps as the
        format spells them.

    Raises:
        PodledgerError: The file is damaged, is not of its format, or lacks a column.
    """
    try:
        if file.file_format == "parquet":
            yield from _read_parquet(file, contract)
        elif file.file_format == "csv":
            yield from _read_csv(file, contract)
        else:
            yield from _read_ndjson(file, contract, scratch, connection)
    except (
        pa.ArrowException,
        duckdb.Error,
        OSError,
        EOFError,
        UnicodeDecodeError,
    ) as error:
        first_line = str(error).partition("\n")[0]
        raise PodledgerError(
            f"{file} cannot be read as {file.file_format} ({first_line}). The file is"
            " damaged, cut short or of another format: write it again."
        ) from error


def _read_parquet(file: SourceFile, contract: Contract) -> Iterator[pa.RecordBatch]:
    schema = pq.read_schema(file.path)
    names = _present(schema.names, file, contract)
    with pq.ParquetFile(
        file.path, read_dictionary=[n for n in names if is_text(schema.field(n).type)]
    ) as parquet:
        yield from parquet.iter_batches(BATCH_ROWS, columns=names)


def _read_csv(file: SourceFile, contract: Contract) -> Iterator[pa.RecordBatch]:
    """All columns as text: the casts name row and value, the parser would not."""
    with _opened(file) as stream:
        header = next(csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline="")), [])
    names = _present(header, file, contract)
    with _opened(file) as stream:
        yield from pa.csv.open_csv(
            stream,
            read_options=pa.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                include_columns=names,
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )


def _read_ndjson(
    file: SourceFile,
    contract: Contract,
    scratch: Path,
    connection: duckdb.DuckDBPyConnection,
) -> Iterator[pa.RecordBatch]:
    """Values as their JSON text, by DuckDB's reader."""
    path = file.path
    if file.is_gzipped:
        # DuckDB 1.5.5 does not miss the end of a gzip stream that was cut short.
        path = scratch / "unpacked.ndjson"
        with _opened(file) as stream, path.open("wb") as unpacked:
            shutil.copyfileobj(stream, unpacked, 1 << 20)
    columns = {column.name: "VARCHAR" for column in contract.columns}
    rows = connection.execute(
        f"from read_json($path, format = 'newline_delimited', columns = {columns})",
        {"path": re.sub(r"([*?\[])", r"[\1]", str(path))},
    )
    yield from rows.to_arrow_reader(BATCH_ROWS)


def _present(names: list[str], file: SourceFile, contract: Contract) -> list[str]:
    """The contract's columns that the file has, in the contract's order."""
    for column in contract.columns:
        if names.count(column.name) > 1:
            raise PodledgerError(
                f"{file} has the column {column.name} twice. Remove one of the two."
            )
        if column.is_required and column.name not in names:
            raise PodledgerError(
                f"{file} has no column {column.name}, which {contract.kind} need. Write the"
                " file again with it, or rename it if it is not an inventory."
            )
    return [column.name for column in contract.columns if column.name in names]


def _opened(file: SourceFile) -> BinaryIO:
    """The file's bytes, unpacked."""
    if file.is_gzipped:
        return cast(BinaryIO, gzip.open(file.path))
    return file.path.open("rb")
