"""Pods on Fargate as rows of ``pod_costs``: AWS bills them by the pod, nothing is split.

Holds how what a pod was billed becomes its row. Which bill lines are a pod's, and what an
inventory knows of it, is said in SQL, in ``int_fargate_pod_hours``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES, POD_COSTS, POD_RESOURCES
from orchestration.split.files import TableFile
from orchestration.split.money import units
from orchestration.split.pieces import Totals
from orchestration.split.warehouse import open_warehouse

MODEL = "int_fargate_pod_hours"
"""Pod-hours on Fargate, in the warehouse."""

_BATCH_ROWS = 131_072
"""Pod-hours of a batch: a row group of the file."""

_BILLED = ("vcpu", "memory", "storage")
"""Resources that Fargate bills; accelerators it has none."""

_MEASURED = ("vcpu", "memory")
"""Those of them whose use an inventory may know."""

MODEL_COLUMNS = {
    **dict.fromkeys(
        (
            "payer_account_id",
            "usage_account_id",
            "region_code",
            "usage_type_prefix",
            "cluster_name",
            "namespace",
            "pod_name",
            "pod_uid",
            "workload_type",
            "workload_name",
            "deployment",
            "labels",
        ),
        "varchar",
    ),
    "billing_month": "date",
    "usage_hour": "timestamp",
    "bound_seconds": "integer",
    **{f"{resource}_used_hours": "double" for resource in _MEASURED},
    **{f"{resource}_hours": "double" for resource in _BILLED},
    **{
        f"{resource}_{basis}_usd": "decimal(18, 10)"
        for resource in _BILLED
        for basis in BASES
    },
}
"""Columns of ``int_fargate_pod_hours`` that the split reads, and their types in SQL."""


def write_fargate_pods(
    warehouse: Path, month: Month, method_version: int, folder: Path
) -> Totals:
    """Write what pods on Fargate were billed, a file a day: ``YYYY-MM-DD-fargate.parquet``.

    Args:
        warehouse: The DuckDB file.
        month: The billing month.
        method_version: Version of the method that the month is split by.
        folder: Of the month's ``pod_costs``.

    Returns:
        Pod-hours and money that were written.

    Raises:
        PodledgerError: The warehouse cannot be read, or lacks the model.
    """
    totals = Totals()
    listed = ", ".join(f"{sql} as {name}" for name, sql in _columns(method_version).items())
    of_month = f"from {MODEL} where billing_month = date '{month.key}'"
    with open_warehouse(warehouse) as connection:
        days = connection.execute(
            f"select distinct usage_hour::date as day {of_month} order by day"
        ).fetchall()
        for (day,) in days:
            batches = connection.execute(
                f"select {listed} {of_month}"
                f" and usage_hour >= date '{day}' and usage_hour < date '{day}' + 1"
                " order by usage_hour, pod_uid, payer_account_id, usage_account_id"
            ).to_arrow_reader(_BATCH_ROWS)
            with TableFile(folder / f"{day}-fargate.parquet", POD_COSTS) as file:
                for batch in batches:
                    pods = pa.Table.from_batches([batch]).cast(POD_COSTS)
                    file.write(pods)
                    totals.pod_hours += len(pods)
                    totals.fargate_pod_hours += len(pods)
                    totals.pod_units += _units(pods)
                    totals.unknown_node_hours += [
                        pods[f"vcpu_{basis}_split_usd"].null_count for basis in BASES
                    ]
    return totals


def _columns(method_version: int) -> dict[str, str]:
    """SQL of every column of ``pod_costs`` over the model, in their order."""
    given = {
        "instance_id": "null",
        "instance_type": "null",
        "node_name": "null",
        "is_accelerated": "false",
        "method_version": str(method_version),
    }
    for resource in POD_RESOURCES:
        is_billed = resource in _BILLED
        hours = f"{resource}_hours" if is_billed else "0"
        if resource != "storage":
            # Neither hours nor money of these is unknown: what has no line has none.
            hours = f"coalesce({hours}, 0)"
        given[f"{resource}_reserved_hours"] = hours
        given[f"{resource}_allocated_hours"] = hours
        given[f"{resource}_used_hours"] = (
            f"{resource}_used_hours" if resource in _MEASURED else "null"
        )
        given[f"{resource}_split_usage_ratio"] = "null"
        for basis in BASES:
            nothing = f"case when vcpu_{basis}_usd is not null then 0 end"
            given[f"{resource}_{basis}_split_usd"] = (
                f"{resource}_{basis}_usd" if is_billed else nothing
            )
            given[f"{resource}_{basis}_unused_usd"] = nothing
    return {
        field.name: f"({given.get(field.name, field.name)})::{_sql_type(field.type)}"
        for field in POD_COSTS
    }


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision}, {kind.scale})"
    return {
        pa.string(): "varchar",
        pa.timestamp("us"): "timestamp",
        pa.int8(): "tinyint",
        pa.int32(): "integer",
        pa.float64(): "double",
        pa.bool_(): "boolean",
    }[kind]


def _units(pods: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """All money of the rows, by basis."""
    return np.array(
        [
            sum(
                int(units(pods[f"{resource}_{basis}_split_usd"]).sum())
                for resource in _BILLED
            )
            for basis in BASES
        ],
        np.int64,
    )
