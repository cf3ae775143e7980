"""Which columns of what it reads each column of a dbt model is made from.

Holds reading that out of the SQL that dbt compiled. It depends on the SQL alone, so no
warehouse is opened and no month is asked for. A column is made from those that its value is
computed from; what rows are joined, filtered and grouped by is not among them.
See https://sqlglot.com/sqlglot/lineage.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.lineage import lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope

Origins = dict[str, list[tuple[str, str]]]
"""By column of a model: dbt's id of what it reads, and the column there. Empty for a
constant and for a count of rows."""

_DIALECT = "duckdb"


def trace_columns(manifest: Mapping[str, Any]) -> dict[str, Origins]:
    """Trace every column of every model one step back, by dbt's id of the model.

    Args:
        manifest: ``manifest.json`` as ``dbt compile`` wrote it. Every model and source in
            it must list its columns, since models ``select *``.

    Returns:
        Empty origins for a model whose SQL cannot be followed. Ephemeral models are no
        tables, and are followed within those that read them.
    """
    nodes = {**manifest["nodes"], **manifest["sources"]}
    return {
        unique_id: _trace_model(node, nodes)
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and not _is_ephemeral(node)
    }


def _is_ephemeral(node: Mapping[str, Any]) -> bool:
    return bool(node["config"].get("materialized") == "ephemeral")


def _read(node: Mapping[str, Any], nodes: Mapping[str, Any]) -> Iterator[str]:
    """Ids of what a model reads; ephemeral models are part of its SQL."""
    for unique_id in node["depends_on"]["nodes"]:
        if _is_ephemeral(nodes[unique_id]):
            yield from _read(nodes[unique_id], nodes)
        else:
            yield unique_id


def _trace_model(model: Mapping[str, Any], nodes: Mapping[str, Any]) -> Origins:
    # A source is a call of read_parquet in the SQL, and a call has no columns to look up.
    sql, read = model["compiled_code"], {}
    for number, unique_id in enumerate(dict.fromkeys(_read(model, nodes))):
        sql = sql.replace(nodes[unique_id]["relation_name"], f"read_{number}")
        read[f"read_{number}"] = unique_id
    schema: dict[str, object] = {
        name: dict.fromkeys(nodes[unique_id]["columns"], "text")
        for name, unique_id in read.items()
    }
    try:
        query = qualify(parse_one(sql, dialect=_DIALECT), dialect=_DIALECT, schema=schema)
        scope = build_scope(query)
        return {
            column: sorted(set(_origins(column, query, scope, read)))
            for column in model["columns"]
        }
    except (SqlglotError, ValueError):
        # DuckDB may read what sqlglot cannot, and a month closes without this lineage.
        return {}


def _origins(
    column: str, query: exp.Expr, scope: Any, read: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    found = lineage(
        column,
        query,
        schema={},
        dialect=_DIALECT,
        scope=scope,
        trim_selects=False,
        copy=False,
    )
    for node in found.walk():
        if isinstance(node.expression, exp.Table) and node.expression.name in read:
            yield read[node.expression.name], exp.to_column(node.name).name
