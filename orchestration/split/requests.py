"""Accelerator requests of the month, and what each counts as in physical devices.

Holds which requests occur on which kind of node, the table that says what they count as,
and its lookup when pods are split. The rules (whole, time-sliced, MIG, Neuron) are the
inventory's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orchestration.inventory.equivalents import Combination, resolve_equivalents
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import ACCELERATOR_EQUIVALENTS
from orchestration.split.warehouse import open_warehouse

TABLE = "accelerator_equivalents"

NO_REQUEST = "{}"
"""How the lake writes that a pod requests no accelerators: no devices, on any node."""


def distinct_requests(warehouse: Path, lake: Lake, month: Month) -> list[Combination]:
    """Find every accelerator request of the month with the kinds of node it occurs on.

    Pods on node-hours that the bill does not know have no kind of node, and are left out.

    Raises:
        PodledgerError: The warehouse cannot be read.
    """
    files = [str(path) for path in lake.files("raw/pod_hours", month)]
    if not files:
        return []
    with open_warehouse(warehouse) as connection:
        rows = connection.execute(
            """
            with requests as (
                select distinct instance_id, usage_hour, accelerators_requested
                from read_parquet($files, hive_partitioning = false)
                where accelerators_requested <> $no_request
            )
            select distinct
                node_hours.instance_type,
                node_hours.accelerators,
                node_hours.accelerator_memory_gib,
                node_hours.sharing_labels,
                requests.accelerators_requested
            from requests
            inner join int_node_hours__weighed_v2 as node_hours
                on requests.instance_id = node_hours.instance_id
                and requests.usage_hour = node_hours.usage_hour
            where node_hours.billing_month = $month
            order by all
            """,
            {"files": files, "no_request": NO_REQUEST, "month": month.start.date()},
        ).fetchall()
    return [Combination(*row) for row in rows]


def write_equivalents(warehouse: Path, lake: Lake, month: Month) -> int:
    """Resolve the month's requests and replace ``accelerator_equivalents`` in the lake.

    Returns:
        Rows written; a month without requests gets an empty file.

    Raises:
        PodledgerError: The warehouse cannot be read, or a request cannot be resolved.
    """
    table = resolve_equivalents(distinct_requests(warehouse, lake, month))
    with lake.replace(TABLE, month) as folder:
        pq.write_table(table.cast(ACCELERATOR_EQUIVALENTS), folder / "equivalents.parquet")
    return len(table)


class Equivalents:
    """Devices by (instance type, sharing labels, request), as the lake holds them."""

    def __init__(self, table: pa.Table) -> None:
        keys = zip(
            *(
                table[name].to_pylist()
                for name in ("instance_type", "sharing_labels", "accelerators_requested")
            ),
            strict=True,
        )
        self._devices: dict[tuple[str, str, str], float] = dict(
            zip(keys, table["devices"].to_pylist(), strict=True)
        )

    @classmethod
    def of_month(cls, lake: Lake, month: Month) -> Equivalents:
        """Read the month's table; none at all reads as an empty one."""
        files = lake.files(TABLE, month)
        tables = [pq.ParquetFile(path).read() for path in files]
        return cls(pa.concat_tables(tables or [ACCELERATOR_EQUIVALENTS.empty_table()]))

    def matrix(
        self, kinds: Sequence[tuple[str, str]], requests: Sequence[str]
    ) -> NDArray[np.float64]:
        """Devices of each request on each kind of node; NaN where the table is silent.

        Args:
            kinds: (instance type, sharing labels) of each kind of node.
            requests: Canonical JSON of each request.

        Returns:
            Shape (kinds, requests).
        """
        return np.array(
            [
                [
                    0.0
                    if request == NO_REQUEST
                    else self._devices.get((*kind, request), np.nan)
                    for request in requests
                ]
                for kind in kinds
            ],
            dtype=np.float64,
        ).reshape(len(kinds), len(requests))
