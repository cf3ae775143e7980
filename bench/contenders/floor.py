"""Pass-through with pyarrow, tuned: what reading and writing alone cost.

Reads the columns that the split reads, node-hours included, and writes the columns that
the split writes with the split's own writer, without join, order, check or arithmetic:
hours are input columns, money is a multiple of one, as varied as real parts of a cost.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bench.worlds import MONTH, World
from orchestration.lake.schemas import BASES, POD_COSTS, RESOURCES
from orchestration.split.files import TableFile
from orchestration.split.money import money
from orchestration.split.node_hours import open_node_hours
from orchestration.split.pod_hours import read_batches

REQUESTED = {
    "accelerator": "accelerators_used",
    "vcpu": "vcpu_requested",
    "memory": "memory_requested_gib",
}
USED = {
    "accelerator": "accelerators_used",
    "vcpu": "vcpu_used",
    "memory": "memory_used_gib",
}
UNITS = {"split": 170_000_000.0, "unused": 90_000_000.0}
CONSTANTS = (
    "payer_account_id",
    "usage_account_id",
    "region_code",
    "usage_type_prefix",
    "instance_type",
)


def run(world: World, out: Path) -> int:
    """Write the month."""
    rows = 0
    with open_node_hours(world.warehouse, MONTH, 2) as reader:
        for path in world.pod_files:
            day = dt.date.fromisoformat(path.stem)
            reader.read(day)
            with TableFile(out / path.name, POD_COSTS) as file:
                for pods in read_batches(path, day):
                    file.write(_reshaped(pods))
                    rows += len(pods)
    return rows


def _reshaped(pods: pa.Table) -> pa.Table:
    rows = len(pods)
    columns = {name: pods[name] for name in POD_COSTS.names if name in pods.column_names}
    zeros = pa.array(np.zeros(rows, np.int32))
    for name in CONSTANTS:
        columns[name] = pa.DictionaryArray.from_arrays(zeros, pa.array(["constant"]))
    columns["is_accelerated"] = pa.array(np.ones(rows, np.bool_))
    columns["method_version"] = pa.array(np.full(rows, 2, np.int8))
    for resource in RESOURCES:
        requested, used = pods[REQUESTED[resource]], pods[USED[resource]]
        columns[f"{resource}_reserved_hours"] = requested
        columns[f"{resource}_used_hours"] = used
        claimed = np.maximum(_doubles(requested), _doubles(used))
        columns[f"{resource}_allocated_hours"] = pa.array(claimed)
        columns[f"{resource}_split_usage_ratio"] = pa.array(claimed)
        for part, units in UNITS.items():
            parts = money((claimed * units).astype(np.int64))
            for basis in BASES:
                columns[f"{resource}_{basis}_{part}_usd"] = parts
    for field in POD_COSTS:
        # Storage is of pods on Fargate alone.
        if field.name.startswith("storage_"):
            columns[field.name] = pa.nulls(rows, field.type)
    return pa.table({name: columns[name] for name in POD_COSTS.names})


def _doubles(column: pa.ChunkedArray) -> NDArray[np.float64]:
    doubles: NDArray[np.float64] = pc.fill_null(column, 0.0).to_numpy()
    return doubles
