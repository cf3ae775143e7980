"""Reading the warehouse without ever writing to it, and Parquet files as they are.

Holds the one way in which the DuckDB file that dbt fills is opened for reading, and the
one in which published Parquet is read. Queries stand where their answers are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from orchestration.engines.duckdb import connect, quote
from orchestration.lake.errors import PodledgerError


@contextmanager
def open_warehouse(
    path: Path, scratch: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a read-only connection whose default schema is the marts'.

    Args:
        path: The warehouse, a DuckDB file.
        scratch: Folder for spilled data; a temporary one if not given.

    Raises:
        PodledgerError: There is no warehouse, or another process holds it.
    """
    if not path.is_file():
        raise PodledgerError(
            f"There is no warehouse at {path}: no month was computed there yet. Run the"
            " close, which builds it: podledger close YYYY-MM."
        )
    with (
        TemporaryDirectory() as temporary,
        connect(scratch or Path(temporary)) as connection,
    ):
        try:
            connection.execute(f"attach {quote(str(path))} as podledger (read_only)")
        except duckdb.IOException as error:
            raise PodledgerError(
                f"The warehouse {path} cannot be opened: {_first_line(error)}. DuckDB lets"
                " one process write and then none read: wait for the close or the query"
                " that has it open, or stop it."
            ) from error
        connection.execute("use podledger.main")
        yield connection


def parquet(*paths: Path) -> str:
    """SQL that reads Parquet files, a pattern allowed in each path.

    Folders are named like ``revision=001``, and DuckDB would make columns of them.
    """
    listed = ", ".join(quote(str(path)) for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false)"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(". ")
