"""The warehouse, opened for reading while the split runs.

Holds the opening only, and what a failure to open means to a user. dbt is the one writer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from orchestration.engines.duckdb import quote
from orchestration.lake.errors import PodledgerError
from orchestration.lake.settings import duckdb_memory


@contextmanager
def open_warehouse(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse read-only, with the memory set and the disk to spill to.

    Args:
        path: The DuckDB file that dbt wrote.

    Raises:
        PodledgerError: It is not there or is held by a writer, or lacks a model.
    """
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.IOException as error:
        raise PodledgerError(
            f"The warehouse {path} cannot be opened for reading: {error}. End other"
            " programs that hold the file, and close the month from its beginning"
            " (podledger close)."
        ) from error
    try:
        connection.execute(f"set memory_limit = {quote(duckdb_memory())}")
        yield connection
    except duckdb.CatalogException as error:
        raise PodledgerError(
            f"The warehouse {path} lacks a model that the split reads: {error}. Build the"
            " models of the month first (podledger close)."
        ) from error
    finally:
        connection.close()
