"""The split in pandas as one would write it: merge, transform, doubles, a day at a time.

Half of the node-hours do not add up to the last unit, and what no pod claims is lost.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from bench.contenders.columns import ALL, REQUESTED, USED
from bench.worlds import MONTH, World
from orchestration.lake.schemas import BASES, RESOURCES
from orchestration.split.node_hours import POOL_COLUMNS

NODE_HOUR = ["instance_id", "usage_hour"]
KIND = ["instance_type", "sharing_labels", "accelerators_requested"]


def run(world: World, out: Path) -> int:
    """Write a file a day."""
    equivalents = pd.read_parquet(world.lake.files("accelerator_equivalents", MONTH))
    rows = 0
    with duckdb.connect(str(world.warehouse), read_only=True) as connection:
        for path in world.pod_files:
            pods = pd.read_parquet(path, engine="pyarrow")
            node_hours = read_node_hours(connection, dt.date.fromisoformat(path.stem))
            _split(claims_of(pods, node_hours, equivalents))[ALL].to_parquet(
                out / path.name, compression="zstd"
            )
            rows += len(pods)
    return rows


def read_node_hours(
    connection: duckdb.DuckDBPyConnection, day: dt.date, money: str = "double"
) -> pd.DataFrame:
    """Node-hours of a day, money as objects of that SQL type."""
    columns = ", ".join(f"{name}::{money} as {name}" for name in POOL_COLUMNS)
    return (
        connection.execute(
            f"select * replace ({columns}) from int_node_hours__weighed_v2"
            " where usage_hour >= $day and usage_hour < $day + interval 1 day",
            {"day": day},
        )
        .to_arrow_table()
        .to_pandas()
    )


def claims_of(
    pods: pd.DataFrame, node_hours: pd.DataFrame, equivalents: pd.DataFrame
) -> pd.DataFrame:
    """Pods beside their node-hours, with what they reserve, use and claim."""
    frame = pods.merge(node_hours, on=NODE_HOUR, suffixes=("", "_billed"))
    frame = frame.merge(equivalents[[*KIND, "devices"]], on=KIND, how="left")
    frame["devices"] = frame["devices"].fillna(0.0)
    for name in ("cluster_name", "node_name"):
        frame[name] = frame[name].fillna(frame[f"{name}_billed"])
    frame["is_accelerated"] = frame["accelerators"] * frame["accelerator_weight"] > 0
    hours = frame["bound_seconds"] / 3600.0
    for r in RESOURCES:
        frame[f"{r}_reserved_hours"] = frame[REQUESTED.get(r, "devices")] * hours
        frame[f"{r}_used_hours"] = frame[USED[r]] * hours
        frame[f"{r}_allocated_hours"] = np.fmax(
            frame[f"{r}_reserved_hours"], frame[f"{r}_used_hours"]
        )
    return frame


def _split(frame: pd.DataFrame) -> pd.DataFrame:
    groups = frame.groupby(NODE_HOUR, sort=False)
    added: dict[str, pd.Series] = {}
    for r in RESOURCES:
        allocated, capacity = frame[f"{r}_allocated_hours"], frame[f"{r}_capacity_hours"]
        claimed = groups[f"{r}_allocated_hours"].transform("sum")
        divisor = np.maximum(capacity, claimed)
        ratio = (allocated / divisor).fillna(0.0)
        unused = (allocated / claimed * (1 - claimed / divisor)).fillna(0.0)
        added[f"{r}_split_usage_ratio"] = ratio
        for basis in BASES:
            pool = frame[f"{r}_{basis}_usd"]
            added[f"{r}_{basis}_split_usd"] = pool * ratio
            added[f"{r}_{basis}_unused_usd"] = pool * unused
    return frame.assign(**added)
