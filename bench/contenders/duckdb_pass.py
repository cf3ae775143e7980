"""Pass-through with DuckDB: one COPY of the month into one file, every setting its own.

Money is cast from an input column, an expression for each resource and part.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from bench.contenders.columns import ALL, FROM_NODE_HOUR, REQUESTED, USED
from bench.worlds import World
from orchestration.engines.duckdb import quote
from orchestration.lake.schemas import BASES, POD_HOURS, RESOURCES

RATES = {"split": 0.017, "unused": 0.009}


def run(world: World, out: Path) -> int:
    """Write the month."""
    with duckdb.connect() as connection:
        rows: int = connection.execute(
            f"copy (select {', '.join(_columns())} from read_parquet($files))"
            f" to {quote(str(out / 'month.parquet'))} (format parquet)",
            {"files": [str(path) for path in world.pod_files]},
        ).fetchall()[0][0]
    return rows


def _columns() -> list[str]:
    columns = {name: name for name in POD_HOURS.names}
    columns |= {name: f"'constant' as {name}" for name in FROM_NODE_HOUR}
    columns["is_accelerated"] = "true as is_accelerated"
    columns["method_version"] = "2::tinyint as method_version"
    for resource in RESOURCES:
        used = USED[resource]
        requested = REQUESTED.get(resource, used)
        claimed = f"greatest({requested}, {used})"
        columns[f"{resource}_reserved_hours"] = f"{requested} as {resource}_reserved_hours"
        columns[f"{resource}_used_hours"] = f"{used} as {resource}_used_hours"
        for name in ("allocated_hours", "split_usage_ratio"):
            columns[f"{resource}_{name}"] = f"{claimed} as {resource}_{name}"
        for part, rate in RATES.items():
            amount = f"coalesce({claimed} * {rate}, 0)::decimal(18, 10)"
            for basis in BASES:
                name = f"{resource}_{basis}_{part}_usd"
                columns[name] = f"{amount} as {name}"
    return [columns[name] for name in ALL]
