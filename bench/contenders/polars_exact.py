"""The split in Polars: window expressions over Int128, one day after another.

The arithmetic is the kernel's own; see ``duckdb_exact``.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl

from bench.contenders.columns import ALL, REQUESTED, UNITS, USED
from bench.worlds import MONTH, World
from orchestration.lake.schemas import BASES, RESOURCES

NODE_HOUR = ["instance_id", "usage_hour"]
ONE = 2**60


def run(world: World, out: Path) -> int:
    """Write a file a day."""
    equivalents = pl.read_parquet(world.lake.files("accelerator_equivalents", MONTH))
    rows = 0
    with duckdb.connect(str(world.warehouse), read_only=True) as connection:
        for path in world.pod_files:
            day = dt.date.fromisoformat(path.stem)
            node_hours = connection.execute(
                "select * from int_node_hours__weighed_v2 where usage_hour >= $day"
                " and usage_hour < $day + interval 1 day",
                {"day": day},
            ).pl()
            pods = pl.read_parquet(path)
            # Polars divides by a scalar by multiplying with its inverse: the last bit.
            hours = pods["bound_seconds"].to_numpy() / 3600.0
            pods = pods.with_columns(pl.Series("hours", hours))
            split = _split(pods, node_hours, equivalents)
            split.write_parquet(out / path.name, compression="zstd", compression_level=1)
            rows += len(split)
    return rows


def _split(
    pods: pl.DataFrame, node_hours: pl.DataFrame, equivalents: pl.DataFrame
) -> pl.DataFrame:
    joined = (
        pods.lazy()
        .join(node_hours.lazy(), on=NODE_HOUR, how="inner", maintain_order="left")
        .join(
            equivalents.lazy(),
            on=["instance_type", "sharing_labels", "accelerators_requested"],
            how="left",
            maintain_order="left",
        )
        .with_columns(
            pl.coalesce("cluster_name", "cluster_name_right").alias("cluster_name"),
            pl.coalesce("node_name", "node_name_right").alias("node_name"),
            (pl.col("accelerators") * pl.col("accelerator_weight") > 0).alias(
                "is_accelerated"
            ),
            pl.col("method_version").cast(pl.Int8),
            pl.col("devices").fill_null(0.0),
        )
    )
    for resource in RESOURCES:
        joined = _with_resource(joined, resource)
    return joined.select(ALL).collect()


def _with_resource(frame: pl.LazyFrame, r: str) -> pl.LazyFrame:
    """Add the figures of one resource."""
    allocated, capacity = pl.col(f"{r}_allocated_hours"), pl.col(f"{r}_capacity_hours")
    frame = (
        frame.with_columns(
            (pl.col(REQUESTED.get(r, "devices")) * pl.col("hours")).alias(
                f"{r}_reserved_hours"
            ),
            (pl.col(USED[r]) * pl.col("hours")).alias(f"{r}_used_hours"),
        )
        .with_columns(
            pl.max_horizontal(f"{r}_reserved_hours", f"{r}_used_hours").alias(
                f"{r}_allocated_hours"
            )
        )
        .with_columns(allocated.cum_sum().last().over(NODE_HOUR).alias("sum"))
        .with_columns(
            (allocated / pl.max_horizontal(capacity, "sum"))
            .fill_nan(0.0)
            .alias(f"{r}_split_usage_ratio"),
            _exponent(pl.col("sum")).alias("exponent"),
            _exponent(capacity).alias("capacity_exponent"),
        )
        .with_columns((allocated * pl.lit(2.0).pow(61 - pl.col("exponent"))).alias("exact"))
        .with_columns(pl.col("exact").round(0, mode="half_to_even").alias("whole"))
        .with_columns(
            (
                pl.col("whole").cast(pl.Int64).cum_sum().over(NODE_HOUR)
                + (pl.col("exact") - pl.col("whole"))
                .cum_sum()
                .over(NODE_HOUR)
                .round(0, mode="half_to_even")
                .cast(pl.Int64)
            )
            .cast(pl.Int128)
            .alias("running"),
            (pl.col("capacity_exponent") - pl.col("exponent"))
            .cast(pl.Int64)
            .alias("shift"),
            (capacity * pl.lit(2.0).pow(61 - pl.col("capacity_exponent")))
            .cast(pl.Int64)
            .cast(pl.Int128)
            .alias("size"),
        )
        .with_columns(pl.col("running").last().over(NODE_HOUR).alias("claimed"))
        .with_columns(
            _share(pl.col("running"), pl.col("claimed")).alias("share"),
            _share_claimed().alias("share_claimed"),
        )
        .with_columns(
            _scaled(pl.col("share_claimed"), pl.col("share")).alias("split_until"),
            (
                pl.col("share_claimed")
                + _scaled(ONE - pl.col("share_claimed"), pl.col("share"))
            ).alias("unused_until"),
        )
    )
    for basis in BASES:
        pool = (
            (pl.col(f"{r}_{basis}_usd").cast(pl.Decimal(38, 10)) * UNITS)
            .cast(pl.Int64)
            .cast(pl.Int128)
        )
        split = _scaled(pool, pl.col("split_until"))
        unused = _scaled(pool, pl.col("unused_until"))
        last_split = _scaled(pool, pl.col("share_claimed"))
        frame = frame.with_columns(
            _usd(split - split.shift(1).over(NODE_HOUR).fill_null(0)).alias(
                f"{r}_{basis}_split_usd"
            ),
            _usd(unused - pl.coalesce(unused.shift(1).over(NODE_HOUR), last_split)).alias(
                f"{r}_{basis}_unused_usd"
            ),
        )
    return frame


def _exponent(value: pl.Expr) -> pl.Expr:
    """The binary exponent as frexp gives it: a logarithm may be off by one."""
    guess = value.log(2).floor()
    return (
        pl.when(value > 0)
        .then(
            guess
            - (pl.lit(2.0).pow(guess) > value).cast(pl.Float64)
            + (pl.lit(2.0).pow(guess + 1) <= value).cast(pl.Float64)
            + 1
        )
        .otherwise(None)
    )


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    twice = 2 * whole
    return pl.when(whole > 0).then((part * 2 * ONE + whole) // twice).otherwise(None)


def _share_claimed() -> pl.Expr:
    shift, size = pl.col("shift"), pl.col("size")
    claims = pl.col("claimed") // pl.lit(2.0).pow(shift.clip(0, 61)).cast(pl.Int64)
    return (
        pl.when(pl.col("capacity_exponent").is_null() | (shift < 0))
        .then(pl.lit(ONE, pl.Int128))
        .when(shift > 61)
        .then(pl.lit(0, pl.Int128))
        .when(claims >= size)
        .then(pl.lit(ONE, pl.Int128))
        .otherwise(_share(claims, size))
    )


def _scaled(amount: pl.Expr, share: pl.Expr) -> pl.Expr:
    return (amount * share + ONE // 2) // ONE


def _usd(units: pl.Expr) -> pl.Expr:
    unit = pl.lit(Decimal("0.0000000001"))
    return (units.fill_null(0).cast(pl.Decimal(38, 0)) * unit).cast(pl.Decimal(18, 10))
