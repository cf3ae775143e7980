"""In-memory DuckDB connections for reading and reshaping files.

The warehouse file is not opened here: dbt writes it, and its readers say so themselves.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from orchestration.lake.settings import duckdb_memory


def connect(scratch: Path) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB in UTC that spills to ``scratch``, with the memory set.

    Args:
        scratch: Folder for spilled data; made if missing.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"set memory_limit = {quote(duckdb_memory())}")
    connection.execute("set temp_directory = $path", {"path": str(scratch)})
    return connection


def write_ahead_log(database: Path) -> Path:
    """Where DuckDB keeps what was written and is not in the file yet."""
    return database.with_name(f"{database.name}.wal")


def remove_database(database: Path) -> None:
    """Remove a file of DuckDB's, and the log, which belongs to no other file."""
    database.unlink(missing_ok=True)
    write_ahead_log(database).unlink(missing_ok=True)


def quote(text: str) -> str:
    """An SQL string literal, for where DuckDB takes no parameter (COPY targets)."""
    return "'" + text.replace("'", "''") + "'"
