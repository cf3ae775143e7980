"""Compile the kernel ahead of its first use: ``python -m orchestration.split.compile``.

Machine code is kept beside the modules, for this processor. Without this, the first month
that is split pays some 2 seconds more. Holds a batch that goes the way of every other, so
that what is compiled is what will be called.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.lake.schemas import ACCELERATOR_EQUIVALENTS, BASES, POD_HOURS, RESOURCES
from orchestration.split.batch import Coverage, split_batch
from orchestration.split.node_hours import STRING_COLUMNS, NodeHours
from orchestration.split.pod_hours import SHORT_DICTIONARY, read_batches
from orchestration.split.requests import NO_REQUEST, Equivalents

_HOUR = dt.datetime(2000, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)


def compile_split() -> int:
    """Split a made node-hour among as many pods as it takes to call every function.

    Returns:
        Pods that shared it, once with nothing measured and once with everything: numba
        compiles for memory that may be written and for memory that may not.
    """
    node_hours = NodeHours.from_table(pa.Table.from_pylist([_node_hour()]))
    equivalents = Equivalents(ACCELERATOR_EQUIVALENTS.empty_table())
    rows = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pod_hours.parquet"
        for used in (None, 1.0):
            pods = [_pod(number, used) for number in range(SHORT_DICTIONARY + 1)]
            pq.write_table(pa.Table.from_pylist(pods, schema=POD_HOURS), path)
            for batch in read_batches(path, _HOUR.date()):
                coverage = Coverage.none_of(node_hours)
                split = split_batch(batch, node_hours, equivalents, coverage)
                rows += len(split.pod_costs)
    return rows


def _pod(number: int, used: float | None) -> dict[str, object]:
    return {
        "instance_id": "i-0",
        "usage_hour": _HOUR,
        "pod_uid": f"{number:06d}",
        "bound_seconds": 3600,
        "vcpu_requested": 1.0,
        "memory_requested_gib": 1.0,
        "vcpu_used": used,
        "memory_used_gib": used,
        "accelerators_requested": NO_REQUEST,
        "accelerators_used": used,
        "labels": "{}",
    }


def _node_hour() -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(STRING_COLUMNS, "i-0")
    row |= {"usage_hour": _HOUR, "method_version": 2}
    row |= {"accelerators": 0.0, "accelerator_weight": 0.0}
    for resource in RESOURCES:
        row[f"{resource}_capacity_hours"] = 1.0
        row |= {f"{resource}_{basis}_usd": Decimal(1) for basis in BASES}
    return row


if __name__ == "__main__":
    compile_split()
