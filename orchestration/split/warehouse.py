"""The warehouse, opened for reading while the split runs.

Holds the opening only, and what a failure to open means to a user. dbt is the one writer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from orchestration.lake.errors import PodledgerError

_MEMORY_LIMIT = "1GB"


@contextmanager
def open_warehouse(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse read-only, with little memory and the disk to spill to.

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
        connection.execute(f"set memory_limit = '{_MEMORY_LIMIT}'")
        yield connection
    except duckdb.CatalogException as error:
        raise PodledgerError(
            f"The warehouse {path} lacks a model that the split reads: {error}. Build the"
            " models of the month first (podledger close)."
        ) from error
    finally:
        connection.close()
