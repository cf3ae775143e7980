"""Pass-through with Polars: a lazy scan of the month sunk into one file, its defaults."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from bench.contenders.columns import ALL, FROM_NODE_HOUR, REQUESTED, USED
from bench.worlds import World
from orchestration.lake.schemas import BASES, RESOURCES

RATES = {"split": 0.017, "unused": 0.009}


def run(world: World, out: Path) -> int:
    """Write the month."""
    scan = pl.scan_parquet(world.pod_files)
    scan.with_columns(_columns()).select(ALL).sink_parquet(out / "month.parquet")
    return world.rows


def _columns() -> list[pl.Expr]:
    columns = [pl.lit("constant").alias(name) for name in FROM_NODE_HOUR]
    columns.append(pl.lit(True).alias("is_accelerated"))
    columns.append(pl.lit(2, pl.Int8).alias("method_version"))
    for resource in RESOURCES:
        used = pl.col(USED[resource])
        requested = pl.col(REQUESTED.get(resource, USED[resource]))
        claimed = pl.max_horizontal(requested, used)
        columns += [
            requested.alias(f"{resource}_reserved_hours"),
            used.alias(f"{resource}_used_hours"),
            claimed.alias(f"{resource}_allocated_hours"),
            claimed.alias(f"{resource}_split_usage_ratio"),
        ]
        for part, rate in RATES.items():
            amount = (claimed.fill_null(0) * rate).cast(pl.Decimal(18, 10))
            columns += [amount.alias(f"{resource}_{basis}_{part}_usd") for basis in BASES]
    return columns
