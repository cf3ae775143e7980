"""The split with a Python function a node-hour, on the first node-hours of the month.

Exact, with Python's own integers and fractions, and two orders of magnitude slower.
"""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import duckdb
import pandas as pd

from bench.contenders.columns import ALL, UNITS
from bench.contenders.pandas_vectorised import NODE_HOUR, claims_of, read_node_hours
from bench.worlds import MONTH, World
from orchestration.lake.schemas import BASES, RESOURCES

ONE = 2**60
SAMPLE = 500
"""Node-hours."""


def run(world: World, out: Path) -> int:
    """Split a sample; gives its pod-hours."""
    equivalents = pd.read_parquet(world.lake.files("accelerator_equivalents", MONTH))
    path = world.pod_files[0]
    pods = pd.read_parquet(path, engine="pyarrow")
    keys = pods[NODE_HOUR].drop_duplicates().head(SAMPLE)
    pods = pods.merge(keys, on=NODE_HOUR)
    with duckdb.connect(str(world.warehouse), read_only=True) as connection:
        node_hours = read_node_hours(
            connection, dt.date.fromisoformat(path.stem), money="decimal(18, 10)"
        )
    frame = claims_of(pods, node_hours, equivalents)
    groups = frame.groupby(NODE_HOUR, sort=False, group_keys=False)[frame.columns]
    groups.apply(_split)[ALL].to_parquet(out / path.name)
    return len(pods)


def _split(group: pd.DataFrame) -> pd.DataFrame:
    group = group.sort_values("pod_uid")
    for r in RESOURCES:
        claims = group[f"{r}_allocated_hours"].tolist()
        capacity = group[f"{r}_capacity_hours"].iloc[0]
        claimed = sum_in_order(claims)
        divisor = max(capacity, claimed)
        group[f"{r}_split_usage_ratio"] = [
            claim / divisor if claimed else 0.0 for claim in claims
        ]
        ends = _ends(claims, claimed, capacity) if claimed else [0] * (2 * len(claims))
        for basis in BASES:
            pool = int(group[f"{r}_{basis}_usd"].iloc[0] * UNITS)
            points = [_scaled(pool, end) for end in ends]
            parts = [
                Decimal(until - since).scaleb(-10)
                for since, until in zip([0, *points], points, strict=False)
            ]
            group[f"{r}_{basis}_split_usd"] = parts[: len(claims)]
            group[f"{r}_{basis}_unused_usd"] = parts[len(claims) :]
    return group


def sum_in_order(claims: list[float]) -> float:
    """Plain addition: Python's own sum compensates from 3.12 on."""
    total = 0.0
    for claim in claims:
        total += claim
    return total


def _ends(claims: list[float], claimed: float, capacity: float) -> list[int]:
    """Where parts end as shares of the pool in 2 ** -60: all splits, then all unused."""
    _, exponent = math.frexp(claimed)
    amounts = [Fraction(math.ldexp(claim, 61 - exponent)) for claim in claims]
    running, counted, carried = [], 0, Fraction(0)
    for amount in amounts:
        whole = round(amount)
        counted, carried = counted + whole, carried + amount - whole
        running.append(counted + round(carried))
    fraction, capacity_exponent = math.frexp(capacity)
    shift = capacity_exponent - exponent
    share_claimed = ONE
    if capacity > 0 and shift >= 0:
        part, whole = running[-1] >> shift, int(math.ldexp(fraction, 61))
        share_claimed = ONE if part >= whole else _share(part, whole)
    shares = [_share(amount, running[-1]) for amount in running]
    return [_scaled(share_claimed, share) for share in shares] + [
        share_claimed + _scaled(ONE - share_claimed, share) for share in shares
    ]


def _share(part: int, whole: int) -> int:
    return (2 * part * ONE + whole) // (2 * whole)


def _scaled(amount: int, share: int) -> int:
    return (amount * share + ONE // 2) // ONE
