"""Reading the warehouse without ever writing to it.

Holds the one way in which this room opens the DuckDB file that dbt fills. Queries stand
where their answers are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from orchestration.duck import connect, quote
from orchestration.errors import PodledgerError


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


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(". ")
