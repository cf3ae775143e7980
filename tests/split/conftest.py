"""Small worlds for the split: node-hours in a warehouse, the rest in a lake.

Rows are dicts with every column defaulted, so that a test says only what it is about.
Arrays are made from the same rows as the files, and the exact share is computed here with
fractions: the kernel is never held against itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import (
    ACCELERATOR_EQUIVALENTS,
    BASES,
    POD_COSTS,
    POD_HOURS,
    RESOURCES,
    STRING,
    UNALLOCATED_COSTS,
)
from orchestration.split.batch import BatchSplit, Coverage, split_batch
from orchestration.split.engines.local import split_month
from orchestration.split.fargate import MODEL, MODEL_COLUMNS
from orchestration.split.node_hours import (
    CAPACITY_COLUMNS,
    POOL_COLUMNS,
    STRING_COLUMNS,
    NodeHours,
)
from orchestration.split.pieces import SplitResult
from orchestration.split.requests import Equivalents

Row = dict[str, Any]

HOUR = dt.datetime.fromisoformat("2026-10-01T05:00")
NODE = "i-0a"
GPUS = '{"nvidia.com/gpu":%s}'

WEIGHED = pa.schema(
    [
        pa.field("billing_month", pa.date32()),
        *(pa.field(name, STRING) for name in STRING_COLUMNS),
        pa.field("usage_hour", pa.timestamp("us")),
        pa.field("method_version", pa.int32()),
        *(
            pa.field(name, pa.float64())
            for name in (
                "accelerators",
                "accelerator_memory_gib",
                "accelerator_weight",
                "vcpu_weight",
                "memory_weight",
                *CAPACITY_COLUMNS,
            )
        ),
        *(pa.field(name, pa.decimal128(18, 10)) for name in POOL_COLUMNS),
    ]
)
"""The warehouse contract that the split reads."""

POD_KEY = [
    ("instance_id", "ascending"),
    ("usage_hour", "ascending"),
    ("pod_uid", "ascending"),
]


def node_hour(
    usd: Mapping[str, str] | str = "1", instance_id: str = NODE, **columns: Any
) -> Row:
    """A node-hour of a g5.12xlarge: 4 devices, 48 vCPUs, 192 GiB.

    Args:
        usd: What each resource costs in every basis, or resource -> cost.
        instance_id: The node.
        columns: Anything else that the test is about.
    """
    by_resource = dict.fromkeys(RESOURCES, usd) if isinstance(usd, str) else usd
    return {
        "billing_month": dt.date(2026, 10, 1),
        "payer_account_id": "111122223333",
        "usage_account_id": "444455556666",
        "region_code": "us-east-1",
        "usage_type_prefix": "USE1",
        "instance_id": instance_id,
        "instance_type": "g5.12xlarge",
        "cluster_name": None,
        "node_name": None,
        "sharing_labels": "{}",
        "usage_hour": HOUR,
        "method_version": 2,
        "accelerators": 4.0,
        "accelerator_memory_gib": 22.35,
        "accelerator_weight": 9.0,
        "vcpu_weight": 0.9,
        "memory_weight": 0.1,
        "accelerator_capacity_hours": 4.0,
        "vcpu_capacity_hours": 48.0,
        "memory_capacity_hours": 192.0,
        **{
            f"{resource}_{basis}_usd": Decimal(by_resource.get(resource, "0"))
            for resource in RESOURCES
            for basis in BASES
        },
        **columns,
    }


def pod_hour(pod_uid: str = "uid-1", instance_id: str = NODE, **columns: Any) -> Row:
    """A pod that holds a whole hour of 2 vCPUs and 4 GiB, nothing measured."""
    return {
        "cluster_name": "blue",
        "account_id": None,
        "region": None,
        "node_name": "ip-10-0-0-1",
        "instance_id": instance_id,
        "usage_hour": HOUR,
        "namespace": "default",
        "pod_name": f"pod-{pod_uid}",
        "pod_uid": pod_uid,
        "workload_type": "Deployment",
        "workload_name": "web",
        "deployment": "web",
        "bound_seconds": 3600,
        "vcpu_requested": 2.0,
        "memory_requested_gib": 4.0,
        "vcpu_used": None,
        "memory_used_gib": None,
        "accelerators_requested": "{}",
        "accelerators_used": None,
        "labels": '{"team":"vision"}',
        **columns,
    }


def equivalent(
    accelerators_requested: str,
    devices: float,
    instance_type: str = "g5.12xlarge",
    sharing_labels: str = "{}",
) -> Row:
    """What a request counts as."""
    return {
        "instance_type": instance_type,
        "sharing_labels": sharing_labels,
        "accelerators_requested": accelerators_requested,
        "devices": devices,
        "rule": "whole",
        "is_recognized": True,
    }


def sorted_pods(pods: Iterable[Row]) -> pa.Table:
    """Pod-hours in the order that the ingest leaves them in."""
    return pa.Table.from_pylist(list(pods), schema=POD_HOURS).sort_by(POD_KEY)


def whole_devices() -> list[Row]:
    return [equivalent(GPUS % count, float(count)) for count in range(1, 9)]


def split_rows(
    node_hours: Iterable[Row],
    pods: Iterable[Row] | pa.Table,
    equivalents: Iterable[Row] | None = None,
) -> BatchSplit:
    """One batch through ``split_batch``."""
    weighed = NodeHours.from_table(pa.Table.from_pylist(list(node_hours), schema=WEIGHED))
    table = pods if isinstance(pods, pa.Table) else sorted_pods(pods)
    rows = whole_devices() if equivalents is None else list(equivalents)
    return split_batch(
        table.drop_columns(["account_id", "region"]),
        weighed,
        Equivalents(pa.Table.from_pylist(rows, schema=ACCELERATOR_EQUIVALENTS)),
        Coverage.none_of(weighed),
    )


def exact_parts(
    pool: int, claims: list[float], capacity: float
) -> tuple[list[Fraction], list[Fraction]]:
    """Split and unused of every pod as method.md defines them, in fractions of a unit."""
    amounts = [Fraction(claim) for claim in claims]
    claimed = sum(amounts)
    divisor = max(claimed, Fraction(capacity))
    left = 1 - claimed / divisor
    return (
        [pool * amount / divisor for amount in amounts],
        [pool * left * amount / claimed for amount in amounts],
    )


def units_of(amount: Decimal) -> int:
    """A decimal of 1e-10 as a whole number of units."""
    return int(amount.scaleb(10))


@dataclass
class World:
    """A month in a lake and a warehouse."""

    lake: Lake
    month: Month
    warehouse: Path

    def write(
        self,
        node_hours: Iterable[Row],
        pods: Iterable[Row] | pa.Table = (),
        equivalents: Iterable[Row] | None = None,
        row_group_size: int | None = None,
    ) -> World:
        """Write what the split reads, replacing what is there."""
        table = pods if isinstance(pods, pa.Table) else sorted_pods(pods)
        days = table["usage_hour"].cast(pa.date32())
        with self.lake.replace("raw/pod_hours", self.month) as folder:
            for day in sorted(set(days.to_pylist()) or {self.month.days[0]}):
                of_day = table.filter(pc.equal(days, pa.scalar(day, pa.date32())))
                path = folder / f"{day.isoformat()}.parquet"
                pq.write_table(of_day, path, row_group_size=row_group_size)
        rows = whole_devices() if equivalents is None else list(equivalents)
        with self.lake.replace("accelerator_equivalents", self.month) as folder:
            pq.write_table(
                pa.Table.from_pylist(rows, schema=ACCELERATOR_EQUIVALENTS),
                folder / "equivalents.parquet",
            )
        self.write_node_hours(node_hours)
        return self

    def write_node_hours(self, node_hours: Iterable[Row], version: int = 2) -> None:
        """Write one version of the weighed node-hours."""
        weighed = pa.Table.from_pylist(list(node_hours), schema=WEIGHED)
        self.warehouse.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(str(self.warehouse)) as connection:
            connection.register("weighed", weighed)
            connection.execute(
                f"create or replace table int_node_hours__weighed_v{version}"
                " as from weighed"
            )
            columns = ", ".join(f"{name} {kind}" for name, kind in MODEL_COLUMNS.items())
            connection.execute(f"create table if not exists {MODEL} ({columns})")

    def split(self, method: int = 2, **options: Any) -> SplitResult:
        return split_month(self.warehouse, self.lake, self.month, method, **options)

    def pod_costs(self) -> pa.Table:
        return self._read("pod_costs", POD_COSTS)

    def unallocated_costs(self) -> pa.Table:
        return self._read("unallocated_costs", UNALLOCATED_COSTS)

    def contents(self) -> dict[str, bytes]:
        """Every file that the split writes, by table and name."""
        return {
            f"{table}/{path.name}": path.read_bytes()
            for table in ("pod_costs", "unallocated_costs")
            for path in self.lake.files(table, self.month)
        }

    def _read(self, table: str, schema: pa.Schema) -> pa.Table:
        tables = [
            pq.ParquetFile(path).read() for path in self.lake.files(table, self.month)
        ]
        for one in tables:
            assert one.schema.equals(schema), one.schema
        return pa.concat_tables(tables)


@pytest.fixture
def world(lake: Lake, october: Month) -> World:
    """An empty month."""
    return World(lake, october, lake.home / "warehouse" / "podledger.duckdb")


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """Builders of rows and the exact shares they must get."""
    return SimpleNamespace(
        node_hour=node_hour,
        pod_hour=pod_hour,
        equivalent=equivalent,
        sorted_pods=sorted_pods,
        split_rows=split_rows,
        exact_parts=exact_parts,
        units_of=units_of,
        gpus=lambda count: GPUS % count,
        hour=HOUR,
        weighed=WEIGHED,
    )
