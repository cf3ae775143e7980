"""Outputs held against each other and against the bill, in whole units.

Holds no tolerance: money is compared as the integers that it is.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.contenders.columns import MONEY
from bench.worlds import MONTH, World
from orchestration.lake.schemas import BASES, RESOURCES
from orchestration.split.money import units

KEY = ["instance_id", "usage_hour", "pod_uid"]
ORDER = [(name, "ascending") for name in KEY]


def first_difference(ours: Path, theirs: Path, is_sampled: bool = False) -> str | None:
    """Find where two folders of ``pod_costs``, a file a day, differ in rows or money.

    Args:
        ours: What the split wrote.
        theirs: What is held against it.
        is_sampled: Whether theirs may lack rows and days.

    Returns:
        A sentence; None if every row has the same money in both.
    """
    days, their_days = _days(ours), _days(theirs)
    if not their_days or (not is_sampled and days.keys() != their_days.keys()):
        return "the days differ"
    for day, files in their_days.items():
        left, right = _read(days[day]), _read(files)
        if is_sampled:
            left = left.join(right.select(KEY), KEY, join_type="left semi").sort_by(ORDER)
        if len(left) != len(right) or len(right) == 0:
            return f"{day} has {len(right):,} rows for {len(left):,}"
        if not left.select(KEY).equals(right.select(KEY)):
            return f"{day} has other pods"
        for column in MONEY:
            differs = np.flatnonzero(units(left[column]) != units(right[column]))
            if differs.size:
                row = int(differs[0])
                return (
                    f"{day}: {differs.size:,} rows differ in {column}, the first is"
                    f" {left['pod_uid'][row]} at {left['usage_hour'][row]}:"
                    f" {right[column][row]} for {left[column][row]}"
                )
    return None


def _days(folder: Path) -> dict[str, list[Path]]:
    """Files of each day, whose names begin with it."""
    days: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.parquet")):
        days.setdefault(path.name[: len("YYYY-MM-DD")], []).append(path)
    return days


def _read(files: list[Path]) -> pa.Table:
    table = pa.concat_tables(pq.ParquetFile(path).read([*KEY, *MONEY]) for path in files)
    for name in KEY:
        kind = pa.timestamp("us") if name == "usage_hour" else pa.string()
        position = table.schema.get_field_index(name)
        table = table.set_column(position, name, table[name].cast(kind))
    return table.sort_by(ORDER)


def first_unbalanced_node_hour(world: World) -> str | None:
    """Find a node-hour whose pods and unallocated rows do not add up to its cost, in SQL.

    Returns:
        A sentence; None if every node-hour adds up in every basis.
    """
    parts = {
        basis: " + ".join(
            f"{r}_{basis}_{part}_usd" for r in RESOURCES for part in ("split", "unused")
        )
        for basis in BASES
    }
    sums = ", ".join(f"sum({parts[basis]}) as {basis}_usd" for basis in BASES)
    left = ", ".join(f"sum({basis}_usd) as {basis}_usd" for basis in BASES)
    costs = ", ".join(
        f"{' + '.join(f'{r}_{basis}_usd' for r in RESOURCES)} as {basis}_usd"
        for basis in BASES
    )
    gaps = " or ".join(f"sum({basis}_usd) <> 0" for basis in BASES)
    minus = ", ".join(f"-({basis}_usd) as {basis}_usd" for basis in BASES)
    with duckdb.connect() as connection:
        connection.execute("set memory_limit = '4GB'")
        connection.execute(f"attach '{world.warehouse}' as warehouse (read_only)")
        row = connection.execute(
            f"""
            with ledger as (
                select instance_id, usage_hour, {sums} from read_parquet($pods) group by all
                union all
                select instance_id, usage_hour, {left}
                from read_parquet($unallocated) group by all
                union all
                select instance_id, usage_hour, {minus} from (
                    select instance_id, usage_hour, {costs}
                    from warehouse.int_node_hours__weighed_v2
                )
            )
            select instance_id, usage_hour from ledger group by all having {gaps} limit 1
            """,
            {
                "pods": [str(path) for path in world.lake.files("pod_costs", MONTH)],
                "unallocated": [
                    str(path) for path in world.lake.files("unallocated_costs", MONTH)
                ],
            },
        ).fetchone()
    return None if row is None else f"{row[0]} at {row[1]} does not add up to its cost"
