"""The warehouse, opened for reading while the split runs.

Holds only what it means to a user that a model is not there yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from orchestration.engines import warehouse
from orchestration.lake.errors import PodledgerError


@contextmanager
def open_warehouse(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse read-only.

    Args:
        path: The DuckDB file that dbt wrote.

    Raises:
        PodledgerError: It is not there or is held by a writer, or lacks a model.
    """
    try:
        with warehouse.open_warehouse(path) as connection:
            yield connection
    except duckdb.CatalogException as error:
        raise PodledgerError(
            f"The warehouse {path} lacks a model that the split reads: {error}. Build the"
            " models of the month first (podledger close)."
        ) from error
