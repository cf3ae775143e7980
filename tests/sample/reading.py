"""How the tests of the sample read its month."""

import duckdb


def fetch(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[object, ...]]:
    """Rows of a query."""
    return connection.execute(query).fetchall()
